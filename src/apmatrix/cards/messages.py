"""The card's side of the messages: requests taken apart, replies put together (hardware.md section 3)."""

from __future__ import annotations

from typing import NamedTuple

from apmatrix.arch.messages import ErrorReply, MessageType, ReplyCode, ReplyHeader, RequestHeader
from apmatrix.cards.errors import CardError


class RefusedMessage(CardError):
    """A message is malformed; ``code`` is what the card answers. Carries no data of the message."""

    def __init__(self, code: ReplyCode) -> None:
        super().__init__(f"the card refuses the message with reply code {code:02x} ({code.name})")
        self.code = code


def message_type(message: bytes) -> int:
    """Byte 1, or -1 if the message is too short to have one."""
    return message[1] if len(message) > 1 else -1


def error_reply(code: ReplyCode, kind: MessageType = MessageType.ERROR) -> bytes:
    """The short reply that reports ``code``."""
    return bytes(ErrorReply(message_type=kind, reply_code=code))


class CoprocessorRequest(NamedTuple):
    """A type 06 message taken apart: ``control`` is the control block with its parameters."""

    header: RequestHeader
    control: bytes
    data: bytes

    def __repr__(self) -> str:
        return f"<CoprocessorRequest {len(self.control)}+{len(self.data)} bytes>"

    @classmethod
    def parse(cls, message: bytes) -> CoprocessorRequest:
        """Take ``message`` apart; RefusedMessage if it is of another type, or if its parts lie outside of it."""
        if message_type(message) != MessageType.COPROCESSOR_REQUEST:
            raise RefusedMessage(ReplyCode.MESSAGE_TYPE)
        if len(message) < RequestHeader.SIZE:
            raise RefusedMessage(ReplyCode.MESSAGE_LENGTH)
        header = RequestHeader.parse(message)
        return cls(
            header,
            _part(message, header.offset1, header.to_card1),
            _part(message, header.offset2, header.to_card2),
        )


def _part(message: bytes, offset: int, length: int) -> bytes:
    if not length:
        return b""
    if offset < RequestHeader.SIZE or offset + length > len(message):
        raise RefusedMessage(ReplyCode.PACKET_TRUNCATED)
    return message[offset : offset + length]


def coprocessor_reply(
    control: bytes,
    data: bytes = b"",
    code: ReplyCode = ReplyCode.NORMAL,
    final_status: int = 0,
    *,
    pass_through: bool = False,
) -> bytes:
    """A type 86 message. Data follow the control block at a multiple of four.

    The reply to a ``pass_through`` CPRB says where data would begin even if there are none: Linux 6.1 uses
    offset2 + count2 as its length.
    """
    padding = bytes(-len(control) % 4) if data else b""
    header = ReplyHeader(
        reply_code=code,
        final_status=final_status,
        count1=len(control),
        offset1=ReplyHeader.SIZE,
        count2=len(data),
        offset2=ReplyHeader.SIZE + len(control) + len(padding) if data or pass_through else 0,
    )
    return b"".join((bytes(header), control, padding, data))
