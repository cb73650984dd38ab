"""Takes a level of a machine for a real operating system: the level's emulated Linux is shut down for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from apmatrix.faces.boot import LevelProcessor
from apmatrix.service.errors import ControlError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.emulation import Emulation, Guest, System
    from apmatrix.linux import LinuxSystem, Vm


class BootedLevel(LevelProcessor):
    """The level of an LPAR or a VM that runs a real operating system; a context manager that gives it back.

    ``give_back`` restores what was there before.
    """

    def __init__(self, emulation: Emulation, holder: LinuxSystem | Vm, give_back: Callable[[], object]) -> None:
        if holder.level in emulation.taken:
            raise ControlError(f"another operating system has {holder.name}: end it first")
        super().__init__(emulation.machine, holder.level)
        emulation.taken.add(holder.level)
        self._emulation = emulation
        self._give_back = give_back

    @classmethod
    def of_lpar(cls, emulation: Emulation, name: str | None) -> Self:
        """Take an LPAR, by default the first; its guests end. ControlError if there is none."""
        system = next((each for each in emulation.lpars if name in (each.name, None)), None)
        if system is None:
            active = ", ".join(each.name for each in emulation.lpars) or "none, see apmatrix show"
            raise ControlError(f"no LPAR {name or ''} is active (active: {active})", ExitCode.UNREADABLE)
        return cls._in_place_of(emulation, system)

    @classmethod
    def of_guest(cls, emulation: Emulation, name: str) -> Self:
        """Take a guest, by its name or its mdev's UUID; it is started if it is not running.

        ControlError lists the guests, or says why it cannot be started.
        """
        guest = next((each for each in emulation.guests() if name.lower() in _names(each)), None)
        if guest is not None and guest.refusal is not None:
            raise ControlError(f"guest {guest.name} was refused: {guest.refusal}")
        if guest is not None and guest.system is not None:
            return cls._in_place_of(emulation, guest.system)
        running = _running(emulation, guest.uuid if guest else name)
        if running is not None:
            return cls(emulation, running, lambda: None)
        host = guest.host.linux if guest else _host_of(emulation, name)
        mdev, vm_name = (guest.uuid, guest.names[-1]) if guest else (name.lower(), None)
        vm = emulation.start_vm(host, mdev, vm_name)
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


def _names(guest: Guest) -> tuple[str, ...]:
    return guest.name, guest.names[-1], guest.uuid


def _running(emulation: Emulation, name: str) -> Vm | None:
    """A VM that was started by the UUID of its mdev."""
    for system in emulation.systems():
        for vm in system.linux.vmm.vms:
            if name.lower() in (vm.name, *(file.mdev.name for file in vm.files)):
                return vm
    return None


def _host_of(emulation: Emulation, uuid: str) -> LinuxSystem:
    """The system that has an mdev of this UUID."""
    for system in emulation.systems():
        if _has_mdev(system, uuid.lower()):
            return system.linux
    known = ", ".join(each.name for each in emulation.guests()) or "none"
    raise ControlError(f"there is no guest or mdev {uuid} (guests: {known})", ExitCode.UNREADABLE)


def _has_mdev(system: System, uuid: str) -> bool:
    try:
        return uuid in system.linux.sysfs.list("devices/vfio_ap/matrix")
    except OSError:
        return False
