"""A real operating system takes a level of a machine: the level's emulated Linux makes room for it.

The real one may run below another process. That one shares the guest's storage with the machine, which then executes
the AP instructions that it is told of; when the connection ends, however it ends, the level's queues are reset.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from apmatrix.arch import Interruption
from apmatrix.faces.boot import LevelProcessor, Service
from apmatrix.faces.boot.service import DONE, Outcome, ProgramInterruption
from apmatrix.faces.boot.storage import Storage
from apmatrix.faces.lines import ControlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.emulation import Emulation, Guest, System
    from apmatrix.faces.lines import Lines
    from apmatrix.linux import LinuxSystem, Vm


class Occupation(LevelProcessor):
    """The level of an LPAR's Linux or of a VM that a real operating system has; a context manager that gives it back.

    What was there before is there again afterwards: ``give_back`` sees to it.
    """

    def __init__(self, emulation: Emulation, holder: LinuxSystem | Vm, give_back: Callable[[], object]) -> None:
        if holder.level in emulation.taken:
            raise ControlError(f"another operating system has {holder.name}: end that first")
        super().__init__(emulation.machine, holder.level)
        emulation.taken.add(holder.level)
        self._emulation = emulation
        self._give_back = give_back

    @classmethod
    def of_lpar(cls, emulation: Emulation, name: str | None) -> Occupation:
        """Take an LPAR, by default the first; its guests end. ControlError if there is none."""
        system = next((each for each in emulation.lpars if name in (each.name, None)), None)
        if system is None:
            active = ", ".join(each.name for each in emulation.lpars) or "none, see apmatrix show"
            raise ControlError(f"no LPAR {name or ''} is active: active are {active}", code=2)
        return cls._in_place_of(emulation, system)

    @classmethod
    def of_guest(cls, emulation: Emulation, name: str) -> Occupation:
        """Take a guest, by its name or its mdev's UUID; it is started if it does not run.

        ControlError lists what there is, or says why it cannot be started.
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
        vm = host.vmm.start(guest.uuid, guest.names[-1]) if guest else host.vmm.start(name.lower())
        return cls(emulation, vm, vm.stop)

    @classmethod
    def _in_place_of(cls, emulation: Emulation, system: System) -> Occupation:
        """Take the level of a Linux; that boots again afterwards, unless somebody has ended it meanwhile."""

        def boot_again() -> None:
            if any(system is known for known in emulation.known_systems()):
                emulation.boot(system)

        taken = cls(emulation, system.linux, boot_again)
        emulation.make_room(system)  # a level has one operating system
        return taken

    def __enter__(self) -> Occupation:
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


def occupy(emulation: Emulation, lpar: str | None, guest: str | None) -> Occupation:
    """Take a guest's level, or an LPAR's if no guest is named; raises ControlError, or what a VM's start raises."""
    with emulation.changing:
        return Occupation.of_guest(emulation, guest) if guest is not None else Occupation.of_lpar(emulation, lpar)


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
    raise ControlError(f"there is no guest and no mdev {uuid}: guests are {known}", code=2)


def _has_mdev(system: System, uuid: str) -> bool:
    try:
        return uuid in system.linux.sysfs.list("devices/vfio_ap/matrix")
    except OSError:
        return False


class Tenant:
    """What the machine does for a connection behind which a real operating system runs."""

    def __init__(self, emulation: Emulation, lines: Lines) -> None:
        self._emulation = emulation
        self._lines = lines
        self._occupation: Occupation | None = None
        self._storage: Storage | None = None
        self._service: Service | None = None
        self.operations: dict[str, Callable[[dict[str, Any]], Any]] = {
            "occupy": self._occupy,
            "storage": self._share,
            "execute": self._execute,
            "reset": self._reset,
        }

    def close(self) -> None:
        """The connection has ended."""
        if self._occupation is not None:
            self._occupation.close()
        if self._storage is not None:
            self._storage.close()
        self._occupation = self._storage = self._service = None

    def _occupy(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._occupation is not None:
            raise ControlError("this connection has a level already", code=2)
        lpar, guest = request.get("lpar"), request.get("guest")
        if guest is None and any(system.linux.vmm.vms for system in self._emulation.lpars):
            raise ControlError("this LPAR's Linux runs guests that would end with it: stop them, or take a guest")
        self._occupation = occupy(self._emulation, lpar, guest)
        return {"parameters": self._occupation.kernel_parameters}

    def _share(self, request: dict[str, Any]) -> None:
        """The guest's storage: its size, and a descriptor that comes along."""
        (descriptor,) = self._lines.take_descriptors(1)
        try:
            if self._occupation is None or self._storage is not None:
                raise ControlError("storage comes once, after a level", code=2)
            self._storage = Storage(descriptor, int(request["size"]))
        finally:
            os.close(descriptor)
        self._service = self._occupation.attach(self._storage)

    def _execute(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._service is None:
            raise ControlError("there is no storage yet", code=2)
        outcome = self._service.serve(request["frame"], request["kernel"], request["user"])
        code = outcome.code if isinstance(outcome, ProgramInterruption) else None
        return {"executed": self._service.executed, "code": code}

    def _reset(self, _request: dict[str, Any]) -> None:
        if self._occupation is not None:
            self._occupation.reset()


class RemoteLevel:
    """A level of a machine in another process: a GuestLevel. ControlError where that process refuses or is gone."""

    def __init__(self, lines: Lines, lpar: str | None, guest: str | None) -> None:
        self._lines = lines
        try:
            taken = lines.request({"op": "occupy", "lpar": lpar, "guest": guest})
        except BaseException:
            lines.connection.close()
            raise
        self.kernel_parameters = str(taken["parameters"])

    def __enter__(self) -> RemoteLevel:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.connection.close()

    def attach(self, storage: Storage) -> RemoteService:
        """Share the guest's storage."""
        self._lines.request({"op": "storage", "size": storage.size}, (storage.fd,))
        return RemoteService(self._lines)

    def reset(self) -> None:
        """Reset the level's queues."""
        self._lines.request({"op": "reset"})


class RemoteService:
    """Has AP instructions executed by the machine in another process: a Server."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.executed = 0

    def serve(self, address: int, kernel_asce: int, user_asce: int) -> Outcome:
        """Handle an operation exception; ControlError if the machine is gone."""
        reply = self._lines.request({"op": "execute", "frame": address, "kernel": kernel_asce, "user": user_asce})
        self.executed = reply["executed"]
        return DONE if reply["code"] is None else ProgramInterruption(Interruption(reply["code"]))
