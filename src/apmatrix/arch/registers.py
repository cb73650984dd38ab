"""General registers and the formats that AP instructions give them (hardware.md sections 1.1 and 1.8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from apmatrix.arch.arguments import checked
from apmatrix.arch.codes import Opcode
from apmatrix.arch.layout import Layout, bits, flag
from apmatrix.arch.matrix import Apqn
from apmatrix.arch.status import QueueStatus

MASK64 = (1 << 64) - 1


@checked
@dataclass(slots=True)
class Registers:
    """A CPU's sixteen general registers, 64 bits each, and its problem-state bit."""

    gr: list[int] = field(default_factory=lambda: [0] * 16)
    problem_state: bool = False

    def __post_init__(self) -> None:
        if len(self.gr) != 16 or any(not 0 <= value <= MASK64 for value in self.gr):
            raise ValueError("sixteen general registers of 64 bits each are needed")


@checked
@dataclass(frozen=True, slots=True)
class Instruction:
    """One AP instruction of format RRE with its register fields."""

    opcode: Opcode
    r1: int = 0
    r2: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.r1 < 16 or not 0 <= self.r2 < 16:
            raise ValueError(
                f"Instruction() arguments r1 and r2 are {self.r1} and {self.r2}: give numbers from 0 to 15"
            )

    @classmethod
    @checked
    def decode(cls, code: bytes) -> Instruction:
        """Read the four bytes of an RRE instruction; ValueError if it is not an AP instruction."""
        if len(code) != 4:
            raise ValueError("an AP instruction has four bytes")
        return cls(Opcode(int.from_bytes(code[:2], "big")), code[3] >> 4, code[3] & 0xF)

    def encode(self) -> bytes:
        """The four bytes of the instruction."""
        return self.opcode.to_bytes(2, "big") + bytes((0, self.r1 << 4 | self.r2))


class _WithApqn(Layout, width=64):
    adapter = bits(48, 55)
    domain = bits(56, 63)

    @property
    def apqn(self) -> Apqn:
        """The APQN in bits 48-63."""
        return Apqn.from_code(self.value & 0xFFFF)


class PqapControl(_WithApqn):
    """What GR0 holds when PQAP is executed: function, options and queue."""

    function_code = bits(32, 39)
    facilities_too = flag(40)  # T: TAPQ also returns the facility bits
    force = flag(41)  # F: RAPQ and ZAPQ give up a secure binding too; QACT: interface bit
    must_be_zero = bits(42, 47)


class NqapControl(_WithApqn):
    """What GR0 holds when NQAP is executed: options and queue."""

    zero_32 = flag(32)
    last_part = flag(33)  # L
    zero_34 = bits(34, 35)
    zero_40 = flag(40)
    special_command = flag(41)  # S
    zero_42 = bits(42, 47)

    @property
    def must_be_zero(self) -> int:
        """The ones in bits that must be zero (hardware.md 1.1)."""
        return self.value & _NQAP_ZEROS


_NQAP_ZEROS: Final = (
    NqapControl.zero_32.mask | NqapControl.zero_34.mask | NqapControl.zero_40.mask | NqapControl.zero_42.mask
)


class DqapControl(_WithApqn):
    """GR0 of DQAP. ``position`` is where the delivery of a truncated reply continues (hardware.md 1.6)."""

    position = bits(0, 31)
    any_reply = flag(32)
    zero_33 = bits(33, 35)
    zero_40 = bits(40, 47)

    @property
    def must_be_zero(self) -> int:
        """The ones in bits that must be zero (hardware.md 1.1)."""
        return self.value & _DQAP_ZEROS


_DQAP_ZEROS: Final = DqapControl.zero_33.mask | DqapControl.zero_40.mask


class StatusRegister(Layout, width=64):
    """GR1 after an AP instruction. The status word is in the right half; ``unread`` is the left half."""

    unread = bits(0, 31, QueueStatus)
    status = bits(32, 63, QueueStatus)


class InterruptionControl(Layout, width=64):
    """GR1 of PQAP(AQIC) (hardware.md 1.8)."""

    zone = bits(8, 15)
    enable = flag(16)  # IR
    guest_isc = bits(21, 23)
    gisa_format = bits(30, 31)
    gisa_origin = bits(33, 59)
    isc = bits(61, 63)


class TypeQuery(Layout, width=64):
    """GR1 of PQAP(QACT): the mode asked for and the highest type that the program knows."""

    coprocessor = flag(3)
    accelerator = flag(4)
    ep11 = flag(5)
    highest_type = bits(32, 39)
