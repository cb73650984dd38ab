"""Executes the AP instructions that a guest's kernel was interrupted at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from apmatrix.arch import Instruction, Interruption, ProgramCheck
from apmatrix.faces.boot.frame import INSTRUCTION_LENGTH, Frame
from apmatrix.faces.boot.storage import AddressSpace, Storage

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.arch import ConditionCode, Registers

    Execute = Callable[[Instruction, Registers, AddressSpace], ConditionCode]
    """Executes an instruction of this guest: a machine's ``execute`` bound to the guest's level."""


@dataclass(frozen=True, slots=True)
class Done:
    """The instruction was executed; the program goes on after it."""


@dataclass(frozen=True, slots=True)
class ProgramInterruption:
    """The program is interrupted with this code: an AP instruction's own, or it was not an AP instruction."""

    code: Interruption


Outcome = Done | ProgramInterruption

NOT_OURS = ProgramInterruption(Interruption.OPERATION)
DONE = Done()


class Server(Protocol):
    """Handles a guest's operation exceptions, here or in another process.

    ``executed`` counts the AP instructions among them, and shows that the guest is attached.
    """

    executed: int

    def serve(self, address: int, kernel_asce: int, user_asce: int) -> Outcome:
        """Handle an operation exception whose ``pt_regs`` are at a logical address of the kernel."""
        ...


class GuestLevel(Protocol):
    """The level that a guest is to run at."""

    @property
    def facilities(self) -> frozenset[int]:
        """The facility bits of AP that the level has."""
        ...

    def attach(self, storage: Storage) -> Server:
        """Get ready to execute the instructions of a guest with this storage."""
        ...

    def reset(self) -> None:
        """Reset the level's queues: the guest restarts or has ended."""
        ...


class Service:
    """Executes AP instructions found in interrupted programs: a Server in this process."""

    def __init__(self, execute: Execute, storage: Storage) -> None:
        self.storage = storage
        self.executed = 0
        self._execute = execute

    def serve(self, address: int, kernel_asce: int, user_asce: int) -> Outcome:
        """Handle an operation exception whose ``pt_regs`` are at a logical address of the kernel."""
        space = AddressSpace(self.storage, kernel_asce)
        frame = Frame.read(space, address)
        own = AddressSpace(self.storage, user_asce) if frame.psw.problem_state else space
        try:
            instruction = Instruction.decode(own.read(frame.instruction_address, INSTRUCTION_LENGTH))
        except (ProgramCheck, ValueError):
            return NOT_OURS
        self.executed += 1
        try:
            code = self._execute(instruction, frame.registers, own)
        except ProgramCheck as check:
            frame.change_interruption(check.code)
            return ProgramInterruption(check.code)
        frame.complete(code)
        return DONE
