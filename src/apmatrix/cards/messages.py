"""Layouts of the messages between Linux and the cards (hardware.md section 3).

A request begins with a header of its type, 50 for accelerators and 06 for coprocessors; behind the latter lies a
control block, a CPRBX for CCA and a CPRB for EP11. Offsets count bytes, numbers are big-endian.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from apmatrix.arch import ByteCode, Layout, octets, text
from apmatrix.cards.errors import CardError


class MessageType(IntEnum):
    """Byte 1 of every message."""

    COPROCESSOR_REQUEST = 0x06
    ACCELERATOR_REQUEST = 0x50
    ACCELERATOR_REPLY = 0x80
    ERROR = 0x82
    COPROCESSOR_REPLY = 0x86
    ERROR_EP11 = 0x87
    ERROR_88 = 0x88


class ReplyCode(ByteCode):
    """RY: why a card refused a message (hardware.md 3.3)."""

    NORMAL = 0x00
    MACHINE_FAILURE = 0x10
    PREEMPTED = 0x12
    CHECKPOINT_FAILURE = 0x14
    MESSAGE_TYPE = 0x20
    COMMUNICATION_CODE = 0x21
    MALFORMED_88 = 0x22
    INVALID_LENGTH = 0x23
    RESERVED_FIELD = 0x24
    FORMAT_FIELD = 0x29
    INVALID_COMMAND = 0x30
    KEY_TYPE = 0x34
    MALFORMED = 0x40
    INVALID_SPECIAL_COMMAND = 0x41
    RESERVED_FIELD_OLD = 0x50
    WORD_ALIGNMENT = 0x60
    MESSAGE_LENGTH = 0x80
    OPERAND_INVALID = 0x82
    OPERAND_SIZE = 0x84
    EVEN_MODULUS = 0x85
    RESERVED_FIELD_88 = 0x88
    INVALID_DOMAIN_PENDING = 0x8A
    FILTERED_BY_HYPERVISOR = 0x8B
    TRANSPORT_FAILURE = 0x90
    PACKET_TRUNCATED = 0xA0
    ZERO_LENGTH = 0xB0


class RefusedMessage(CardError):
    """A message is malformed; ``code`` is what the card answers. Carries no data of the message."""

    def __init__(self, code: ReplyCode) -> None:
        super().__init__(f"the card refuses the message with reply code {code:02x} ({code.name})")
        self.code = code


class MessageHeader(Layout, size=2):
    """What all messages begin with."""

    message_type = octets(1, 1)


class AcceleratorHeader(Layout, size=16):
    """Type 50, and type 80 without the format."""

    message_type = octets(1, 1)
    length = octets(2, 2)
    format = octets(8, 2)


class ErrorReply(Layout, size=8):
    """Types 82, 87 and 88."""

    message_type = octets(1, 1)
    reply_code = octets(4, 1)


class RequestHeader(Layout, size=88):
    """Type 06."""

    message_type = octets(1, 1)
    final_status = octets(12, 4)
    offset1 = octets(16, 4)
    offset2 = octets(20, 4)
    agent = text(32, 16)
    request_id = octets(48, 2)
    function_code = text(52, 2)
    to_card1 = octets(56, 4)
    to_card2 = octets(60, 4)
    from_card1 = octets(72, 4)
    from_card2 = octets(76, 4)


class ReplyHeader(Layout, size=48):
    """Type 86."""

    message_type = octets(1, 1)
    format = octets(2, 1)
    reply_code = octets(4, 1)
    final_status = octets(12, 4)
    count1 = octets(16, 4)
    offset1 = octets(20, 4)
    count2 = octets(24, 4)
    offset2 = octets(28, 4)


class Cprbx(Layout, size=220):
    """The control block of CCA. Its pointer fields mean nothing to a card and are not declared."""

    length = octets(0, 2)
    version = octets(2, 1)
    function_id = text(6, 2)
    flags = octets(8, 4)
    request_parameters = octets(12, 4)
    request_data = octets(16, 4)
    reply_room = octets(20, 4)
    replied_parameters = octets(24, 4)
    reply_data_room = octets(28, 4)
    replied_data = octets(32, 4)
    return_code = octets(144, 2)
    reason_code = octets(146, 2)
    domain = octets(170, 2)
    reserved = octets(172, 12)


class Ep11Cprb(Layout, size=32):
    """The control block of EP11."""

    length = octets(0, 2)
    version = octets(2, 1)
    flags = octets(5, 1)
    function_id = text(6, 2)
    source = octets(8, 4)
    target = octets(12, 4)
    return_code = octets(16, 4)
    payload_length = octets(28, 4)


CPRBX_VERSION: Final = 2
EP11_CPRB_VERSION: Final = 4
EP11_ADMINISTRATIVE: Final = 0x80
EP11_SPECIAL: Final = 0x20

_HEADER_SIZE: Final = 88
_REPLY_HEADER_SIZE: Final = 48


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
        if len(message) < _HEADER_SIZE:
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
    if offset < _HEADER_SIZE or offset + length > len(message):
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
    """A type 86 message. Data lie behind the control block at a multiple of four.

    In the reply to a ``pass_through`` CPRB it is told where data would begin also if there are none: Linux 6.1
    takes offset2 + count2 for its length.
    """
    padding = bytes(-len(control) % 4) if data else b""
    header = ReplyHeader(
        message_type=MessageType.COPROCESSOR_REPLY,
        format=2,
        reply_code=code,
        final_status=final_status,
        count1=len(control),
        offset1=_REPLY_HEADER_SIZE,
        count2=len(data),
        offset2=_REPLY_HEADER_SIZE + len(control) + len(padding) if data or pass_through else 0,
    )
    return b"".join((bytes(header), control, padding, data))
