"""A level of a machine, as the bridge sees it: something that executes AP instructions and can be reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import Facility, Interruption, ProgramCheck
from apmatrix.faces.boot.service import Service
from apmatrix.machine import Intercepted, execute

if TYPE_CHECKING:
    from apmatrix.arch import ConditionCode, Instruction, Registers
    from apmatrix.faces.boot.storage import Storage
    from apmatrix.machine import Cpc, Level, Memory


class LevelProcessor:
    """Executes a guest's AP instructions at ``level``: a GuestLevel of a machine in this process."""

    def __init__(self, machine: Cpc, level: Level) -> None:
        self._machine = machine
        self._level = level

    @property
    def facilities(self) -> frozenset[int]:
        """The facility bits of AP that the level has."""
        return self._level.facilities & {Facility.QCI, Facility.APFT, Facility.AQIC}

    def attach(self, storage: Storage) -> Service:
        """Get ready to execute the instructions of a guest with this storage."""
        return Service(self.execute, storage)

    def execute(self, instruction: Instruction, registers: Registers, memory: Memory) -> ConditionCode:
        """Execute one instruction; an instruction that no level handles is not installed (hardware.md 7.3)."""
        try:
            return execute(self._machine, self._level, instruction, registers, memory)
        except Intercepted as error:
            raise ProgramCheck(Interruption.OPERATION, str(error)) from error

    def reset(self) -> None:
        """Zeroize the level's queues: nothing of an ended guest is left for the next."""
        self._machine.zeroize(self._level)
