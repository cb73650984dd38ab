"""What a message asks for, seen from outside: for faults, timing and records."""

from __future__ import annotations

from typing import Final, NamedTuple

from apmatrix.cards.ep11.payload import Payload
from apmatrix.cards.messages import (
    AcceleratorHeader,
    CoprocessorRequest,
    Ep11Cprb,
    MessageType,
    RefusedMessage,
    message_type,
)

MODEXPO: Final = "ME"
CRT: Final = "CRT"

_HEADER_SIZE: Final = 16
_EP11_AGENT: Final = b"XC"
_CPRB_SIZE: Final = 32
_CPRBX_SIZE: Final = 220
_POINTERS: Final = slice(88 + 48, 88 + 144)
_CRT_FLAG: Final = 0x10


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
    if kind == MessageType.ACCELERATOR_REQUEST and len(message) >= _HEADER_SIZE:
        form = AcceleratorHeader.parse(message).format
        size = {1: 128, 2: 256, 3: 512}.get(form & ~_CRT_FLAG, 0)
        return RequestKind(CRT if form & _CRT_FLAG else MODEXPO, size)
    if kind == MessageType.COPROCESSOR_REQUEST:
        try:
            return _coprocessor_kind(CoprocessorRequest.parse(message))
        except RefusedMessage:
            return RequestKind()
    return RequestKind()


def _coprocessor_kind(request: CoprocessorRequest) -> RequestKind:
    if request.header.agent.startswith(_EP11_AGENT):
        if len(request.control) < _CPRB_SIZE:
            return RequestKind()
        end = _CPRB_SIZE + Ep11Cprb.parse(request.control).payload_length
        return RequestKind(str(Payload.parse(request.control[_CPRB_SIZE:end]).number))
    block = request.control[_CPRBX_SIZE:]
    verb = block[:2].decode("ascii", "replace")
    rules = int.from_bytes(block[2:4], "big")
    size = int.from_bytes(block[2 + rules : 4 + rules], "big") - 2
    return RequestKind(verb, max(size, 0) if verb in ("PK", "PD") else 0)


def comparable(message: bytes) -> bytes:
    """``message`` without the fields that differ each time: the kernel's pointers in a CPRBX (hardware.md 3.6)."""
    if message_type(message) != MessageType.COPROCESSOR_REQUEST or message[32:34] == _EP11_AGENT:
        return message
    return message[: _POINTERS.start] + bytes(len(message[_POINTERS])) + message[_POINTERS.stop :]
