"""Packets of the GDB remote protocol: ``$payload#checksum``, acknowledgements, escapes, run lengths.

Pure: bytes in, packets out, whatever the places where the transport splits the stream.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PACKET = 1 << 20
"""Bytes after which a packet without an end is given up: a peer that sends more is not a stub."""

_ESCAPE = ord("}")
_REPEAT = ord("*")
_FLIP = 0x20
_RESERVED = frozenset(b"$#}*")
_REPEAT_BIAS = 29
_PACKET = re.compile(rb"[$%]([^#]*)#(..)", re.DOTALL)


class Acknowledgement(Enum):
    """The peer's answer to the last packet."""

    RECEIVED = b"+"
    AGAIN = b"-"


@dataclass(frozen=True, slots=True)
class Packet:
    """A received packet; ``intact`` is False if its checksum was wrong."""

    payload: bytes
    intact: bool = True


def checksum(data: bytes) -> int:
    """The sum of the bytes as they are on the wire, modulo 256."""
    return sum(data) & 0xFF


def encode(payload: bytes) -> bytes:
    """A payload as a packet; the bytes that have a meaning of their own are escaped."""
    body = b"".join(bytes((_ESCAPE, byte ^ _FLIP)) if byte in _RESERVED else bytes((byte,)) for byte in payload)
    return b"$%b#%02x" % (body, checksum(body))


def expand(body: bytes) -> bytes:
    """Undo escapes and run lengths; ValueError if the body ends inside one."""
    out = bytearray()
    rest = iter(body)
    for byte in rest:
        if byte not in (_ESCAPE, _REPEAT):
            out.append(byte)
            continue
        follower = next(rest, None)
        if follower is None or (byte == _REPEAT and not out):
            raise ValueError("incomplete escape or run length")
        if byte == _ESCAPE:
            out.append(follower ^ _FLIP)
        else:
            out += bytes((out[-1],)) * (follower - _REPEAT_BIAS)
    return bytes(out)


class Decoder:
    """Collects bytes and yields complete packets and acknowledgements; noise between packets is dropped."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet | Acknowledgement]:
        """Add bytes and yield what became complete; ValueError if a packet grows beyond ``MAX_PACKET``."""
        self._pending += data
        while (found := self._next()) is not None:
            yield found

    def _next(self) -> Packet | Acknowledgement | None:
        pending = self._pending
        while pending:
            lead = bytes(pending[:1])
            if lead in b"+-":
                del pending[0]
                return Acknowledgement(lead)
            if lead not in b"$%":
                del pending[0]
                continue
            found = _PACKET.match(pending)
            if found is None:
                if len(pending) > MAX_PACKET:
                    raise ValueError("a packet without an end")
                return None
            body, digits = bytes(found[1]), bytes(found[2])
            del found  # a match locks the buffer it was found in
            del pending[: len(body) + 4]
            if lead == b"$":  # notifications, led by %, are dropped
                return _received(body, digits)
        return None


def _received(body: bytes, digits: bytes) -> Packet:
    try:
        return Packet(expand(body), int(digits, 16) == checksum(body))
    except ValueError:
        return Packet(b"", intact=False)
