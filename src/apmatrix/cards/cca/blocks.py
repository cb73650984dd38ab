"""The parameter block after a CPRBX: function code, rule array, VUD block and key block (hardware.md 3.6)."""

from __future__ import annotations

from typing import Final, NamedTuple

from apmatrix.cards.cca.errors import CcaError, Reason

KEYWORD_LENGTH: Final = 8
"""Bytes of a rule array keyword, padded with blanks."""

_LENGTH_FIELD: Final = 2
_TAG: Final = 2


class Parameters(NamedTuple):
    """A parameter block taken apart; the length fields are left out."""

    function: bytes
    rules: tuple[bytes, ...] = ()
    vud: bytes = b""
    keys: bytes = b""

    def __repr__(self) -> str:
        return f"<Parameters {self.function!r} {self.rules!r}>"  # the rest may be clear keys

    @classmethod
    def parse(cls, data: bytes) -> Parameters:
        """Take a block apart; CcaError if a length is wrong."""
        rules, rest = take_block(data[2:])
        if len(rules) % KEYWORD_LENGTH:
            raise CcaError(Reason.BAD_RULE)
        keywords = tuple(
            rules[start : start + KEYWORD_LENGTH].rstrip(b" ") for start in range(0, len(rules), KEYWORD_LENGTH)
        )
        vud, rest = take_block(rest)
        keys, _ = take_block(rest)
        return cls(data[:2], keywords, vud, keys)

    def build(self) -> bytes:
        """The block as a request or reply carries it, with all length fields."""
        rules = b"".join(keyword.ljust(KEYWORD_LENGTH) for keyword in self.rules)
        return b"".join((self.function, block(rules), block(self.vud), block(self.keys)))


def block(content: bytes) -> bytes:
    """``content`` after a 2-byte length that counts itself."""
    return (len(content) + _LENGTH_FIELD).to_bytes(_LENGTH_FIELD, "big") + content


def take_block(data: bytes) -> tuple[bytes, bytes]:
    """Content of the block at the start of ``data``, and what follows it; CcaError if it is not complete."""
    length = int.from_bytes(data[:_LENGTH_FIELD], "big")
    if not _LENGTH_FIELD <= length <= len(data):
        raise CcaError(Reason.BAD_LENGTH)
    return data[_LENGTH_FIELD:length], data[length:]


class Part(NamedTuple):
    """A part of a key block or VUD block: a length, a tag (or flags) and content."""

    tag: int
    content: bytes

    def __repr__(self) -> str:
        return f"<Part {self.tag:04x} of {len(self.content)} bytes>"

    def build(self) -> bytes:
        """The part's bytes; the length counts itself and the tag."""
        return block(self.tag.to_bytes(_TAG, "big") + self.content)


def parse_parts(data: bytes) -> list[Part]:
    """The parts that ``data`` consists of; CcaError if a length is wrong."""
    parts = []
    while data:
        content, data = take_block(data)
        if len(content) < _TAG:
            raise CcaError(Reason.BAD_LENGTH)
        parts.append(Part(int.from_bytes(content[:_TAG], "big"), content[_TAG:]))
    return parts


def find_part(parts: list[Part], tag: int) -> bytes:
    """Content of the first part with ``tag``; CcaError if there is none."""
    for part in parts:
        if part.tag == tag:
            return part.content
    raise CcaError(Reason.BAD_LENGTH)
