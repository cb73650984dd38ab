"""Requests to the coprocessors as Linux builds them, and their replies taken apart (hardware.md 3.4 to 3.10)."""

from __future__ import annotations

from typing import Final, NamedTuple

from apmatrix.cards.cca.blocks import Parameters
from apmatrix.cards.cca.errors import CcaError
from apmatrix.cards.ep11.payload import Command
from apmatrix.cards.errors import CardError
from apmatrix.cards.messages import (
    CPRBX_VERSION,
    EP11_CPRB_VERSION,
    Cprbx,
    Ep11Cprb,
    MessageType,
    RefusedMessage,
    ReplyHeader,
    RequestHeader,
    message_type,
)

_CPRBX_SIZE: Final = 220
_CPRB_SIZE: Final = 32
_HEADER_SIZE: Final = 88
_REPLY_HEADER_SIZE: Final = 48
_PARAMETER_ROOM: Final = 512
_EP11_ROOM: Final = 0x2FD0
_UNANSWERED: Final = 0xFFFFFFFF


class ReplyError(CardError):
    """A card refused a request; ``code`` is its reply code, 0 if the reply made no sense."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class CcaReply(NamedTuple):
    """A CCA reply: return code and reason code, the parameter block, and the data behind it."""

    return_code: int
    reason_code: int
    parameters: Parameters
    data: bytes

    def __repr__(self) -> str:
        return f"<CcaReply {self.return_code}/{self.reason_code}>"


class Ep11Reply(NamedTuple):
    """An EP11 reply: the return value and the data."""

    value: int
    data: bytes

    def __repr__(self) -> str:
        return f"<Ep11Reply {self.value:08x}>"


def cca_request(
    parameters: Parameters,
    domain: int,
    *,
    function_id: bytes = b"T2",
    parameter_room: int = _PARAMETER_ROOM,
    data_room: int = 0,
) -> bytes:
    """A type 06 message that carries ``parameters`` to ``domain``; the rooms are what the reply may fill."""
    block = parameters.build()
    room = _CPRBX_SIZE + parameter_room
    control = Cprbx(
        length=_CPRBX_SIZE,
        version=CPRBX_VERSION,
        function_id=function_id,
        request_parameters=len(block),
        reply_room=room,
        reply_data_room=data_room,
        domain=domain,
    )
    header = RequestHeader(
        message_type=MessageType.COPROCESSOR_REQUEST,
        offset1=_HEADER_SIZE,
        agent=b"CA",
        function_code=parameters.function,
        to_card1=_CPRBX_SIZE + len(block),
        from_card1=room,
        from_card2=data_room,
    )
    return bytes(header) + bytes(control) + block


def ep11_request(command: Command, *, flags: int = 0) -> bytes:
    """A type 06 message that carries ``command``; flags 80 and 20 as hardware.md 3.10 says."""
    payload = command.build()
    control = Ep11Cprb(
        length=_CPRB_SIZE,
        version=EP11_CPRB_VERSION,
        flags=flags,
        function_id=b"T4",
        target=command.domain,
        return_code=_UNANSWERED,
        payload_length=len(payload),
    )
    header = RequestHeader(
        message_type=MessageType.COPROCESSOR_REQUEST,
        offset1=_HEADER_SIZE,
        agent=b"XC",
        request_id=1,
        to_card1=_CPRB_SIZE + len(payload),
        from_card1=_EP11_ROOM,
    )
    return bytes(header) + bytes(control) + payload


def parse_cca_reply(message: bytes) -> CcaReply:
    """Take a reply apart; ReplyError if the card refused the request as a whole."""
    header, control = _control(message, _CPRBX_SIZE)
    fields = Cprbx.parse(control)
    block = control[_CPRBX_SIZE : _CPRBX_SIZE + fields.replied_parameters]
    try:
        parameters = Parameters.parse(block)
    except CcaError:
        raise ReplyError("the card's reply has no complete parameter block") from None
    data = message[header.offset2 : header.offset2 + header.count2] if header.count2 else b""
    return CcaReply(fields.return_code, fields.reason_code, parameters, data)


def parse_ep11_reply(message: bytes) -> Ep11Reply:
    """Take a reply apart; ReplyError if the card refused the request as a whole."""
    _, control = _control(message, _CPRB_SIZE)
    try:
        reply = Command.parse(control[_CPRB_SIZE:])
    except RefusedMessage:
        raise ReplyError("the card's reply has no complete payload") from None
    if not reply.strings:
        raise ReplyError("the card's reply has no return value")
    return Ep11Reply(int.from_bytes(reply.strings[0], "big"), b"".join(reply.strings[1:2]))


def _control(message: bytes, size: int) -> tuple[ReplyHeader, bytes]:
    kind = message_type(message)
    if kind != MessageType.COPROCESSOR_REPLY or len(message) < _REPLY_HEADER_SIZE:
        code = message[4] if len(message) > 4 else 0
        raise ReplyError(f"the card refused the message: type {kind & 0xFF:02x}, reply code {code:02x}", code)
    header = ReplyHeader.parse(message)
    control = message[header.offset1 : header.offset1 + header.count1]
    if header.reply_code or len(control) < size:
        code = header.reply_code
        raise ReplyError(f"the card refused the request with reply code {code:02x}", code)
    return header, control
