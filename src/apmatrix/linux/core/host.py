"""The context that every part of a Linux system is built on."""

from __future__ import annotations

from errno import errorcode
from typing import TYPE_CHECKING

from apmatrix.arch.events import WriteRefused
from apmatrix.linux.core.log import KernelLog
from apmatrix.linux.core.sync import Kernel
from apmatrix.linux.core.sysfs import Sysfs
from apmatrix.linux.core.uevents import UeventStream

if TYPE_CHECKING:
    from apmatrix.machine import Cpc, Level
    from apmatrix.rules.refusals import Refused


class Host:
    """Where a Linux system runs, and the services of its kernel.

    ``machine`` executes the system's AP instructions at ``level``; ``name`` is the system's name, by default its
    level's. ``kernel`` is its lock, ``log`` its kernel log, ``uevents`` its events, ``sysfs`` the tree below /sys.
    """

    __slots__ = ("kernel", "level", "log", "machine", "name", "sysfs", "uevents")

    def __init__(self, machine: Cpc, level: Level, name: str | None = None) -> None:
        self.machine = machine
        self.level = level
        self.name = name or level.name
        self.kernel = Kernel(machine.clock)
        self.log = KernelLog(machine.clock.now)
        self.uevents = UeventStream(self.log)
        self.sysfs = Sysfs(self.kernel)
        self.sysfs.write_refused = self._write_refused

    def _write_refused(self, path: str, refused: Refused) -> None:
        error = errorcode.get(refused.errno, str(refused.errno))
        holder = str(refused.holder) if refused.holder else None
        apqns = refused.finding.apqns
        self.machine.announce(WriteRefused(self.level.path, path, error, str(refused), apqns, holder))
