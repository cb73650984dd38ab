"""Adapter interrupts of a Linux system: one indicator byte and one handler for all its queues (hardware.md 1.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.arch import FunctionCode, Instruction, Opcode, Registers, ResponseCode
from apmatrix.arch.registers import InterruptionControl, PqapControl, StatusRegister
from apmatrix.machine import FlatMemory, execute

if TYPE_CHECKING:
    from apmatrix.linux.ap.ap_queue import ApQueue
    from apmatrix.linux.ap.bus import ApBus

INTERRUPTION_SUBCLASS: Final = 6
INDICATOR: Final = 8
"""Address of the indicator byte in the storage that the system sets aside for it."""

_PQAP: Final = Instruction(Opcode.PQAP)


class AdapterInterrupts:
    """Enables the interruptions of queues with PQAP(AQIC), as a real Linux does: a guest's AQIC goes to its KVM."""

    def __init__(self, bus: ApBus) -> None:
        self._bus = bus
        self._storage = FlatMemory(16)
        bus.level.interrupt = self._handle

    def enable(self, queue: ApQueue) -> bool:
        """Request interruptions of a queue; True if the request was accepted."""
        bus = self._bus
        registers = Registers()
        registers.gr[0] = PqapControl(queue.apqn.code, function_code=FunctionCode.AQIC).value
        registers.gr[1] = InterruptionControl(enable=True, isc=INTERRUPTION_SUBCLASS).value
        registers.gr[2] = INDICATOR
        execute(bus.machine, bus.level, _PQAP, registers, self._storage)
        code = StatusRegister(registers.gr[1]).status.response_code
        return code in (ResponseCode.NORMAL, ResponseCode.OTHERWISE_CHANGED)

    def _handle(self, isc: int) -> None:
        """Handle an interruption: poll every waiting queue."""
        if isc != INTERRUPTION_SUBCLASS:
            return
        with self._bus.kernel:
            self._storage.write(INDICATOR, b"\0")
            if not self._bus.stopped:
                self._bus.poller.poll()

    def stop(self) -> None:
        """Take no more interruptions."""
        self._bus.level.interrupt = None
