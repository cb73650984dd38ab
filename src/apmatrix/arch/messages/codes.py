"""Code points of the messages (hardware.md sections 3 and 3.3)."""

from __future__ import annotations

from enum import IntEnum

from apmatrix.arch.codes import ByteCode


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
