"""PKA key tokens: a header and sections (hardware.md 3.7)."""

from __future__ import annotations

from typing import TypeVar

from apmatrix.arch import Layout
from apmatrix.arch.messages.tokens import EXTERNAL, INTERNAL, PkaTokenHeader, SectionHeader
from apmatrix.cards.cca.errors import CcaError, Reason

L = TypeVar("L", bound=Layout)


def is_internal(token: bytes) -> bool:
    """True if the token says that its private key is under a master key."""
    return PkaTokenHeader.parse(token.ljust(PkaTokenHeader.SIZE, b"\0")).token_type == INTERNAL


def build_token(*sections: bytes, internal: bool) -> bytes:
    """A token of these sections."""
    body = b"".join(sections)
    header = PkaTokenHeader(token_type=INTERNAL if internal else EXTERNAL, length=PkaTokenHeader.SIZE + len(body))
    return bytes(header) + body


def parse_sections(token: bytes) -> dict[int, bytes]:
    """The sections of a token by their id; CcaError if the token is malformed."""
    if len(token) < PkaTokenHeader.SIZE:
        raise CcaError(Reason.BAD_TOKEN)
    header = PkaTokenHeader.parse(token)
    if header.token_type not in (EXTERNAL, INTERNAL) or not PkaTokenHeader.SIZE <= header.length <= len(token):
        raise CcaError(Reason.BAD_TOKEN)
    found: dict[int, bytes] = {}
    rest = token[PkaTokenHeader.SIZE : header.length]
    while len(rest) >= SectionHeader.SIZE:
        section = SectionHeader.parse(rest)
        if not SectionHeader.SIZE <= section.length <= len(rest):
            raise CcaError(Reason.BAD_TOKEN)
        found.setdefault(section.section, rest[: section.length])
        rest = rest[section.length :]
    return found


def take_section(sections: dict[int, bytes], wanted: int, header: type[L]) -> tuple[L, bytes]:
    """Header and content of the section ``wanted``; CcaError if the token has none or it is too short."""
    section = sections.get(wanted, b"")
    if len(section) < header.SIZE:
        raise CcaError(Reason.BAD_TOKEN)
    return header.parse(section), section[header.SIZE :]
