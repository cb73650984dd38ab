"""Requests to the coprocessors as Linux builds them, and their replies taken apart (hardware.md 3.4 to 3.10)."""

from __future__ import annotations

from typing import Final, NamedTuple

from apmatrix.arch.messages import Cprbx, Ep11Cprb, MessageType, ReplyHeader, RequestHeader
from apmatrix.arch.messages.cprb import CCA_USAGE, EP11_FUNCTION_ID
from apmatrix.arch.messages.headers import CCA_AGENT, EP11_AGENT
from apmatrix.cards.cca.blocks import Parameters
from apmatrix.cards.cca.errors import CcaError
from apmatrix.cards.ep11.payload import Payload
from apmatrix.cards.errors import CardError
from apmatrix.cards.messages import RefusedMessage, message_type

_PARAMETER_ROOM: Final = 512
_EP11_ROOM: Final = 0x2FD0
_UNANSWERED: Final = 0xFFFFFFFF


class RequestError(CardError):
    """A card refused a request, or its reply makes no sense; ``code`` is the reply code, 0 in the second case."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class VerbReply(NamedTuple):
    """A CCA reply: return code, reason code and the parameter block."""

    return_code: int
    reason_code: int
    parameters: Parameters

    def __repr__(self) -> str:
        return f"<VerbReply {self.return_code}/{self.reason_code}>"


class FunctionReply(NamedTuple):
    """An EP11 reply: the return value and the data."""

    value: int
    data: bytes

    def __repr__(self) -> str:
        return f"<FunctionReply {self.value:08x}>"


def cca_control(
    parameters: Parameters,
    domain: int,
    *,
    function_id: bytes = CCA_USAGE,
    parameter_room: int = _PARAMETER_ROOM,
    data_room: int = 0,
) -> bytes:
    """A CPRBX with ``parameters`` for ``domain``: what a program passes to Linux. The rooms are for the reply."""
    block = parameters.build()
    control = Cprbx(
        function_id=function_id,
        request_parameters=len(block),
        reply_room=Cprbx.SIZE + parameter_room,
        reply_data_room=data_room,
        domain=domain,
    )
    return bytes(control) + block


def cca_message(control: bytes) -> bytes:
    """The type 06 message that takes a CPRBX to the card."""
    fields = Cprbx.overlay(control)
    header = RequestHeader(
        offset1=RequestHeader.SIZE,
        agent=CCA_AGENT,
        function_code=control[Cprbx.SIZE : Cprbx.SIZE + 2],
        to_card1=len(control),
        from_card1=fields.reply_room,
        from_card2=fields.reply_data_room,
    )
    return bytes(header) + control


def ep11_control(command: Payload, *, administrative: bool = False) -> bytes:
    """A CPRB with ``command``: what a program passes to Linux; an ``administrative`` one changes the domain."""
    payload = command.build()
    control = Ep11Cprb(
        administrative=administrative,
        function_id=EP11_FUNCTION_ID,
        target=command.domain,
        return_code=_UNANSWERED,
        payload_length=len(payload),
    )
    return bytes(control) + payload


def ep11_message(control: bytes) -> bytes:
    """The type 06 message that takes a CPRB to the card."""
    header = RequestHeader(
        offset1=RequestHeader.SIZE,
        agent=EP11_AGENT,
        request_id=1,
        to_card1=len(control),
        from_card1=_EP11_ROOM,
    )
    return bytes(header) + control


def reply_parts(message: bytes) -> tuple[bytes, bytes]:
    """Control block and data of a type 86 reply; RequestError if the card refused the request as a whole."""
    kind = message_type(message)
    if kind != MessageType.COPROCESSOR_REPLY or len(message) < ReplyHeader.SIZE:
        code = message[4] if len(message) > 4 else 0
        raise RequestError(f"the card refused the message: type {kind & 0xFF:02x}, reply code {code:02x}", code)
    header = ReplyHeader.overlay(message)
    if header.reply_code:
        code = header.reply_code
        raise RequestError(f"the card refused the request with reply code {code:02x}", code)
    data = message[header.offset2 : header.offset2 + header.count2] if header.count2 else b""
    return message[header.offset1 : header.offset1 + header.count1], data


def read_cca_control(control: bytes) -> VerbReply:
    """Take the CPRBX of a reply apart; RequestError if it is not complete."""
    if len(control) < Cprbx.SIZE:
        raise RequestError("the card's reply has no complete CPRBX")
    fields = Cprbx.overlay(control)
    try:
        parameters = Parameters.parse(control[Cprbx.SIZE : Cprbx.SIZE + fields.replied_parameters])
    except CcaError:
        raise RequestError("the card's reply has no complete parameter block") from None
    return VerbReply(fields.return_code, fields.reason_code, parameters)


def read_ep11_control(control: bytes) -> FunctionReply:
    """Take the CPRB of a reply apart; RequestError if it is not complete."""
    try:
        reply = Payload.parse(control[Ep11Cprb.SIZE :])
    except RefusedMessage:
        raise RequestError("the card's reply has no complete payload") from None
    if not reply.strings:
        raise RequestError("the card's reply has no return value")
    return FunctionReply(int.from_bytes(reply.strings[0], "big"), b"".join(reply.strings[1:2]))
