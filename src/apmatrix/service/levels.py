"""Takes a level of a machine for a real operating system: the level's emulated Linux is shut down for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from apmatrix.faces.boot import LevelProcessor
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.naming import find_guest, find_lpar, not_running

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.emulation import Emulation, System
    from apmatrix.linux import LinuxSystem, Vm


class BootedLevel(LevelProcessor):
    """The level of an LPAR or a VM that runs a real operating system; a context manager that gives it back.

    ``give_back`` restores what was there before.
    """

    def __init__(self, emulation: Emulation, holder: LinuxSystem | Vm, give_back: Callable[[], object]) -> None:
        if holder.level in emulation.taken:
            raise ControlError(f"another operating system has {holder.name}: end it first", ExitCode.UNREACHABLE)
        super().__init__(emulation.machine, holder.level)
        emulation.taken.add(holder.level)
        self._emulation = emulation
        self._give_back = give_back

    @classmethod
    def of_lpar(cls, emulation: Emulation, name: str | None) -> Self:
        """Take an LPAR, by default the first; its guests end. ControlError if there is none."""
        return cls._in_place_of(emulation, find_lpar(emulation, name))

    @classmethod
    def of_guest(cls, emulation: Emulation, name: str) -> Self:
        """Take a guest, by its name or its mdev's UUID; it is started if it is not running.

        ControlError lists the guests, or says why it cannot be started.
        """
        subject = find_guest(emulation, name)
        guest, host = subject.guest, subject.host
        if guest is not None and guest.refusal is not None:
            raise ControlError(f"guest {guest.name} was refused: {guest.refusal}")
        if guest is not None and guest.system is not None:
            return cls._in_place_of(emulation, guest.system)
        if (running := subject.vm) is not None:
            return cls(emulation, running, lambda: None)
        if host is None:
            raise not_running(subject)
        vm = emulation.start_vm(host.linux, subject.uuid, guest.names[-1] if guest else None)
        return cls(emulation, vm, lambda: emulation.stop_vm(vm))

    @classmethod
    def _in_place_of(cls, emulation: Emulation, system: System) -> Self:
        """Take the level of a Linux, which boots again afterwards, unless it has been ended meanwhile."""

        def boot_again() -> None:
            if any(system is known for known in emulation.known_systems()):
                emulation.boot(system)

        taken = cls(emulation, system.linux, boot_again)
        emulation.make_room(system)  # a level has one operating system
        return taken

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the level back with empty queues."""
        with self._emulation.changing:
            if self._level in self._emulation.taken:
                self.reset()
                self._emulation.taken.discard(self._level)
                self._give_back()


def take_level(emulation: Emulation, lpar: str | None, guest: str | None) -> BootedLevel:
    """Take a guest's level, or an LPAR's if no guest is named; raises ControlError, or what a VM's start raises."""
    with emulation.changing:
        return BootedLevel.of_guest(emulation, guest) if guest is not None else BootedLevel.of_lpar(emulation, lpar)
