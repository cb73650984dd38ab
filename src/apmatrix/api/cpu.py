"""The AP instructions, executed at the level of a Linux system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.api.values import AnyApqn, as_apqn
from apmatrix.arch import ConditionCode, Instruction, QueueInfo, QueueStatus, Registers
from apmatrix.arch.arguments import checked
from apmatrix.arch.registers import MASK64
from apmatrix.cards import Delivery
from apmatrix.machine import Memory, execute

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.arch import Configuration
    from apmatrix.linux import LinuxSystem
    from apmatrix.machine import Port

__tracebackhide__ = True  # pytest shows the caller's line instead

LONGEST_REPLY = 0x10000
"""Bytes of a reply that :meth:`LevelCpu.dqap` takes by default; no card's is longer."""


class LevelCpu:
    """Executes AP instructions at one level: bypasses the Linux there, as another operating system would.

    A queue that the level does not have is not an error: the status word has response code 01. The Linux at the
    level does not see these instructions: a reply that is taken here never reaches its drivers.
    """

    def __init__(self, linux: Callable[[], LinuxSystem]) -> None:
        self._linux = linux

    @checked
    def tapq(self, apqn: AnyApqn) -> tuple[QueueStatus, QueueInfo]:
        """PQAP(TAPQ): test a queue. Its status, and what its card can do, all zeros if there is no such queue."""
        return self._port(apqn).tapq()

    @checked
    def rapq(self, apqn: AnyApqn) -> QueueStatus:
        """PQAP(RAPQ): reset a queue."""
        return self._port(apqn).rapq()

    @checked
    def zapq(self, apqn: AnyApqn) -> QueueStatus:
        """PQAP(ZAPQ): reset a queue and zeroize what it holds for its owner."""
        return self._port(apqn).zapq()

    def qci(self) -> Configuration:
        """PQAP(QCI): the level's features, limits and masks."""
        linux = self._linux()
        return linux.machine.qci(linux.level)

    @checked
    def nqap(self, apqn: AnyApqn, message_id: int, message: bytes, *, special: bool = False) -> QueueStatus:
        """NQAP: put a request on a queue. ``message_id``, 64 bits, comes back with the reply.

        ValueError for a ``message_id`` that has more bits, or is negative.
        """
        if message_id != message_id & MASK64:
            raise ValueError(f"LevelCpu.nqap() argument message_id is {message_id}: give a number of 64 bits")
        return self._port(apqn).nqap(message_id, message, special=special)

    @checked
    def dqap(self, apqn: AnyApqn, length: int = LONGEST_REPLY) -> Delivery:
        """DQAP: take a reply off a queue, ``length`` bytes of it at most.

        ``status`` of the result has response code 10 while no reply is waiting. ValueError for a negative length.
        """
        if length < 0:
            raise ValueError(f"LevelCpu.dqap() argument length is {length}: give a number of bytes from 0 on")
        return self._port(apqn).dqap(length)

    @checked
    def execute(self, instruction: Instruction, registers: Registers, memory: Memory) -> ConditionCode:
        """Execute an instruction at register level; registers and memory change as on the hardware.

        Raises ProgramCheck if the instruction ends with a program interruption.
        """
        linux = self._linux()
        return execute(linux.machine, linux.level, instruction, registers, memory)

    def _port(self, apqn: AnyApqn) -> Port:
        linux = self._linux()
        return linux.machine.port(linux.level, as_apqn(apqn))
