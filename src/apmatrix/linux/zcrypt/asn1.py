"""The beginning of an EP11 payload, as Linux 7.2 reads it (hardware.md 3.10).

A sequence of octet strings: the function, the domain, then the function's arguments. Lengths are short or take
1, 2 or 4 bytes, numbers take 1, 2 or 4.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from apmatrix.rules.refusals import BadValue

SHORTEST: Final = 5
"""Bytes of the shortest payload that Linux accepts."""

_SEQUENCE, _OCTET_STRING = 0x30, 0x04
_LONG: Final = 0x80
_SIZES: Final = (1, 2, 4)
_SHORTEST_STRING: Final = 3


class Span(NamedTuple):
    """Where a number's bytes are in the payload."""

    start: int
    size: int

    @property
    def end(self) -> int:
        """The offset of the first byte after the number."""
        return self.start + self.size


def _malformed(what: str) -> BadValue:
    return BadValue(f"the EP11 payload {what}")


def _string(payload: bytes, position: int, tag: int) -> Span:
    """The content of the element at ``position``."""
    if payload[position] != tag:
        raise _malformed(f"has tag {payload[position]:02x} where {tag:02x} is needed")
    position += 1
    if position >= len(payload):
        raise _malformed("ends in the middle")
    length, start = payload[position], position + 1
    if length >= _LONG:
        size = length - _LONG
        if size not in _SIZES or start + size > len(payload):
            raise _malformed("has a length that Linux does not know")
        length, start = int.from_bytes(payload[start : start + size], "big"), start + size
    if start >= len(payload) or length > len(payload) - start:
        raise _malformed("is shorter than it says")
    return Span(start, length)


def function_part(payload: bytes) -> Span:
    """Where the function number is; BadValue for a payload that Linux refuses."""
    sequence = _string(payload, 0, _SEQUENCE)
    return _number(_string(payload, sequence.start, _OCTET_STRING))


def domain_part(payload: bytes) -> Span | None:
    """Where the domain is, None if the payload ends before; BadValue for one that Linux refuses."""
    position = function_part(payload).end
    if len(payload) - position < _SHORTEST_STRING:
        return None
    return _number(_string(payload, position, _OCTET_STRING))


def _number(part: Span) -> Span:
    if part.size not in _SIZES:
        raise _malformed(f"has a number of {part.size} bytes")
    return part
