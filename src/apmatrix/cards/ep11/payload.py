"""The payload after an EP11 CPRB: a SEQUENCE of OCTET STRINGs (hardware.md 3.10)."""

from __future__ import annotations

from typing import Final, NamedTuple

from apmatrix.arch.messages import Ep11Function, ReplyCode
from apmatrix.cards.messages import RefusedMessage

_SEQUENCE: Final = 0x30
_OCTET_STRING: Final = 0x04
_LONG_FORM: Final = 0x80
_MOST_LENGTH_BYTES: Final = 4
_INTEGER_SIZES: Final = (1, 2, 4)


class Payload(NamedTuple):
    """A request or reply taken apart: function, domain and the strings that follow."""

    function: Ep11Function
    domain: int
    strings: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"<Payload {self.function.value:08x} domain {self.domain}>"  # the strings may be clear keys

    @property
    def number(self) -> int:
        """The function's number without the API version."""
        return self.function.number

    @classmethod
    def parse(cls, payload: bytes) -> Payload:
        """Take a payload apart; RefusedMessage if it is not well formed."""
        body, rest = _take(payload, _SEQUENCE)
        if rest:
            raise RefusedMessage(ReplyCode.MALFORMED)
        strings = []
        while body:
            string, body = _take(body, _OCTET_STRING)
            strings.append(string)
        if len(strings) < 2:
            raise RefusedMessage(ReplyCode.MALFORMED)
        return cls(Ep11Function(_integer(strings[0])), _integer(strings[1]), tuple(strings[2:]))

    def build(self) -> bytes:
        """The payload of a request."""
        words = (bytes(self.function), self.domain.to_bytes(4, "big"))
        return _long(_SEQUENCE, b"".join(_string(string) for string in (*words, *self.strings)))

    def reply(self, value: int, data: bytes = b"") -> bytes:
        """The payload that answers this command, with the forms of length that Linux expects."""
        words = b"".join(_string(word.to_bytes(4, "big")) for word in (self.function.value, self.domain, value))
        return _long(_SEQUENCE, words + _long(_OCTET_STRING, data))


def _take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Content of the element at the start of ``data``, and what follows it."""
    if len(data) < 2 or data[0] != tag:
        raise RefusedMessage(ReplyCode.MALFORMED)
    length, start = data[1], 2
    if length & _LONG_FORM:
        size = length - _LONG_FORM
        if not 1 <= size <= _MOST_LENGTH_BYTES:
            raise RefusedMessage(ReplyCode.MALFORMED)
        start += size
        length = int.from_bytes(data[2:start], "big")
    if start + length > len(data):
        raise RefusedMessage(ReplyCode.PACKET_TRUNCATED)
    return data[start : start + length], data[start + length :]


def _integer(content: bytes) -> int:
    if len(content) not in _INTEGER_SIZES:
        raise RefusedMessage(ReplyCode.MALFORMED)
    return int.from_bytes(content, "big")


def _string(content: bytes) -> bytes:
    if len(content) >= _LONG_FORM:
        return _long(_OCTET_STRING, content)
    return bytes((_OCTET_STRING, len(content))) + content


def _long(tag: int, content: bytes) -> bytes:
    return bytes((tag, 0x82)) + len(content).to_bytes(2, "big") + content
