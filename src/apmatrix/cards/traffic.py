"""What a message asks for, seen from outside: for faults, timing and records."""

from __future__ import annotations

from typing import Final, NamedTuple

from apmatrix.arch.messages import AcceleratorRequest, Cprbx, Ep11Cprb, MessageType, RequestHeader
from apmatrix.arch.messages.headers import EP11_AGENT
from apmatrix.cards.ep11.payload import Payload
from apmatrix.cards.messages import CoprocessorRequest, RefusedMessage, message_type

MODEXPO: Final = "ME"
CRT: Final = "CRT"

_POINTERS: Final = slice(RequestHeader.SIZE + 48, RequestHeader.SIZE + 144)
_MODULUS_SIZES: Final = {0x01: 128, 0x02: 256, 0x03: 512, 0x11: 128, 0x12: 256, 0x13: 512}


class RequestKind(NamedTuple):
    """The verb of a request, and for RSA the bytes of its modulus.

    Verbs: ``ME`` and ``CRT`` for accelerators, CCA's two letters (``PK``), EP11's function number (``38``), or
    nothing for what is none of these.
    """

    verb: str = ""
    size: int = 0


def request_kind(message: bytes) -> RequestKind:
    """What ``message`` asks for; never raises."""
    kind = message_type(message)
    if kind == MessageType.ACCELERATOR_REQUEST and len(message) >= AcceleratorRequest.SIZE:
        header = AcceleratorRequest.parse(message)
        return RequestKind(CRT if header.crt else MODEXPO, _MODULUS_SIZES.get(header.format, 0))
    if kind == MessageType.COPROCESSOR_REQUEST:
        try:
            return _coprocessor_kind(CoprocessorRequest.parse(message))
        except RefusedMessage:
            return RequestKind()
    return RequestKind()


def _coprocessor_kind(request: CoprocessorRequest) -> RequestKind:
    if request.header.agent.startswith(EP11_AGENT):
        if len(request.control) < Ep11Cprb.SIZE:
            return RequestKind()
        end = Ep11Cprb.SIZE + Ep11Cprb.overlay(request.control).payload_length
        return RequestKind(str(Payload.parse(request.control[Ep11Cprb.SIZE : end]).number))
    block = request.control[Cprbx.SIZE :]
    verb = block[:2].decode("ascii", "replace")
    rules = int.from_bytes(block[2:4], "big")
    size = int.from_bytes(block[2 + rules : 4 + rules], "big") - 2
    return RequestKind(verb, max(size, 0) if verb in ("PK", "PD") else 0)


def comparable(message: bytes) -> bytes:
    """``message`` without the fields that differ each time: the kernel's pointers in a CPRBX (hardware.md 3.6)."""
    if message_type(message) != MessageType.COPROCESSOR_REQUEST or message[32:34] == EP11_AGENT:
        return message
    return message[: _POINTERS.start] + bytes(len(message[_POINTERS])) + message[_POINTERS.stop :]
