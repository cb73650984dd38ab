"""PKA key tokens: a header and sections (hardware.md 3.7)."""

from __future__ import annotations

from typing import Final, TypeVar

from apmatrix.arch import Layout, octets
from apmatrix.cards.cca.errors import CcaError, Reason

L = TypeVar("L", bound=Layout)

EXTERNAL: Final = 0x1E
"""Token type of keys that no master key wraps."""

INTERNAL: Final = 0x1F
"""Token type of keys under a master key."""

_HEADER_SIZE: Final = 8
_SECTION_HEADER_SIZE: Final = 4


class TokenHeader(Layout, size=8):
    """The header of a PKA token; the length counts the whole token."""

    token_type = octets(0, 1)
    length = octets(2, 2)


class SectionHeader(Layout, size=4):
    """What every section begins with; the length counts the whole section."""

    section = octets(0, 1)
    length = octets(2, 2)


def is_internal(token: bytes) -> bool:
    """True if the token says that its private key is under a master key."""
    return TokenHeader.parse(token.ljust(_HEADER_SIZE, b"\0")).token_type == INTERNAL


def build_token(*sections: bytes, internal: bool) -> bytes:
    """A token of these sections."""
    body = b"".join(sections)
    header = TokenHeader(token_type=INTERNAL if internal else EXTERNAL, length=_HEADER_SIZE + len(body))
    return bytes(header) + body


def parse_sections(token: bytes) -> dict[int, bytes]:
    """The sections of a token by their id; CcaError if the token is malformed."""
    if len(token) < _HEADER_SIZE:
        raise CcaError(Reason.BAD_TOKEN)
    header = TokenHeader.parse(token)
    if header.token_type not in (EXTERNAL, INTERNAL) or not _HEADER_SIZE <= header.length <= len(token):
        raise CcaError(Reason.BAD_TOKEN)
    found: dict[int, bytes] = {}
    rest = token[_HEADER_SIZE : header.length]
    while len(rest) >= _SECTION_HEADER_SIZE:
        section = SectionHeader.parse(rest)
        if not _SECTION_HEADER_SIZE <= section.length <= len(rest):
            raise CcaError(Reason.BAD_TOKEN)
        found.setdefault(section.section, rest[: section.length])
        rest = rest[section.length :]
    return found


def take_section(sections: dict[int, bytes], wanted: int, header: type[L]) -> tuple[L, bytes]:
    """Header and content of the section ``wanted``; CcaError if the token has none or it is too short."""
    section = sections.get(wanted, b"")
    size = header.WIDTH // 8
    if len(section) < size:
        raise CcaError(Reason.BAD_TOKEN)
    return header.parse(section), section[size:]
