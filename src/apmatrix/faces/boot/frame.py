"""What a Linux kernel keeps of an interrupted program: ``struct pt_regs`` on s390x.

The start of the structure is the kernel's interface to debuggers (``user_pt_regs`` in its ptrace.h) and has been
the same in all 64-bit kernels; the original GR2 and the interruption code follow it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from apmatrix.arch import ConditionCode, Layout, Registers, bits, flag, octets

if TYPE_CHECKING:
    from apmatrix.arch import Interruption
    from apmatrix.faces.boot.storage import AddressSpace

_SAVED = struct.Struct(">16s16Q")  # PSW, GR0-15
_SAVED_OFFSET = 8  # after the first argument of system calls
_CODE_OFFSET = 162  # the low half of int_code; the high half has the instruction's length
_CODE = struct.Struct(">H")
INSTRUCTION_LENGTH = 4
SIZE = 168
"""Bytes of the structure up to the interruption code and its parameter."""


class Psw(Layout, size=16):
    """The program-status word: state, condition code and address of the next instruction."""

    dat = flag(5)
    problem_state = flag(15)
    address_space = bits(16, 17)
    condition_code = bits(18, 19, ConditionCode)
    address = octets(8, 8)


@dataclass(slots=True)
class Frame:
    """The interrupted program: its PSW, already past the instruction, and its general registers."""

    space: AddressSpace
    address: int
    psw: Psw
    registers: Registers

    @classmethod
    def read(cls, space: AddressSpace, address: int) -> Self:
        """Read the structure at a logical address of the kernel; raises ProgramCheck if it is not mapped."""
        psw, *general = _SAVED.unpack(space.read(address + _SAVED_OFFSET, _SAVED.size))
        word = Psw.parse(psw)
        return cls(space, address, word, Registers(general, word.problem_state))

    @classmethod
    def write(cls, space: AddressSpace, address: int, psw: Psw, general: list[int]) -> None:
        """Make the structure at a logical address; raises ProgramCheck if it is not mapped."""
        space.write(address + _SAVED_OFFSET, _SAVED.pack(bytes(psw), *general))

    @property
    def instruction_address(self) -> int:
        """Where the interrupting instruction is, if it has four bytes."""
        return self.psw.address - INSTRUCTION_LENGTH

    def complete(self, code: ConditionCode) -> None:
        """Return the registers as they are now, and the condition code, to the program."""
        self.psw = self.psw.replace(condition_code=code)
        saved = _SAVED.pack(bytes(self.psw), *self.registers.gr)
        self.space.write(self.address + _SAVED_OFFSET, saved)

    def change_interruption(self, code: Interruption) -> None:
        """Change the code of the interruption."""
        self.space.write(self.address + _CODE_OFFSET, _CODE.pack(code))
