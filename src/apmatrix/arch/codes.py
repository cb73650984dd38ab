"""Code points of the AP architecture (hardware.md sections 1.3 to 1.5)."""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class Opcode(IntEnum):
    """The three AP instructions, format RRE."""

    NQAP = 0xB2AD
    DQAP = 0xB2AE
    PQAP = 0xB2AF


class FunctionCode(IntEnum):
    """PQAP function codes (GR0 bits 32-39)."""

    TAPQ = 0x00
    RAPQ = 0x01
    ZAPQ = 0x02
    AQIC = 0x03
    QCI = 0x04
    QACT = 0x05
    BAPQ = 0x07
    AAPQ = 0x08


class ByteCode(IntEnum):
    """Codes of one byte, of which only some have names; the others are members too, named by their number."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or not 0 <= value <= 0xFF:
            return None
        member = int.__new__(cls, value)
        member._name_ = f"CODE_{value:02X}"
        member._value_ = value
        return member


class ResponseCode(ByteCode):
    """Response codes of the queue status word."""

    NORMAL = 0x00
    NOT_AVAILABLE = 0x01
    RESET_IN_PROGRESS = 0x02
    DECONFIGURED = 0x03
    CHECKSTOPPED = 0x04
    BUSY = 0x05
    INVALID_ADDRESS = 0x06
    OTHERWISE_CHANGED = 0x07
    INVALID_GISA = 0x08
    BOUND_TO_ANOTHER = 0x09
    STATE_CHANGE_IN_PROGRESS = 0x0A
    NOT_BOUND = 0x0B
    QUEUE_FULL = 0x10
    NO_PENDING_REPLY = 0x10
    INDEX_TOO_BIG = 0x11
    NO_FIRST_PART = 0x13
    MESSAGE_TOO_BIG = 0x15
    FACILITY_NOT_INSTALLED = 0x16
    BIND_ERROR = 0x30
    NOT_AVAILABLE_FOR_ASSOCIATION = 0x31
    NOT_EMPTY = 0x32
    BIND_LIMIT_EXCEEDED = 0x33
    INVALID_SECRET = 0x34
    SECRET_NOT_UNIQUE = 0x35
    ASSOCIATION_FAILED = 0x36
    INVALID_DOMAIN = 0x42

    @property
    def described(self) -> str:
        """The code and its name, for messages: ``01 (not available)``."""
        return f"{self:02x} ({self.name.lower().replace('_', ' ')})"


class ConditionCode(IntEnum):
    """Condition codes of the AP instructions (hardware.md 1.3)."""

    DONE = 0
    PART_STORED = 1
    PARTIAL = 2
    REFUSED = 3


class Facility(IntEnum):
    """STFLE facility bits that matter to AP (hardware.md 1.5)."""

    QCI = 12
    APFT = 15
    AQIC = 65
    MSA3 = 76
