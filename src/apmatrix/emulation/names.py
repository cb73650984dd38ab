"""Finds the guests and mdevs of a machine by name, the same way for every command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apmatrix.arch import EMPTY_MATRIX
from apmatrix.emulation.errors import UnknownGuest
from apmatrix.emulation.views import users
from apmatrix.hosts import read_facts
from apmatrix.hosts.facts import mdev_uuids
from apmatrix.rules.names import meant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.arch import Matrix
    from apmatrix.config import GuestFile
    from apmatrix.emulation.bringup import Emulation, Guest, System
    from apmatrix.linux import Vm
    from apmatrix.rules.names import Names


@dataclass(frozen=True, slots=True)
class Subject:
    """A guest of the file, an mdev that is in no file, or a VM without an mdev.

    ``names`` lead to it from the LPAR down, ``uuid`` is its mdev's, ``file`` is what the file says about it, ``host``
    is the Linux with its mdev, None if that is not running; ``guest`` is what it knows of a guest of the file.
    """

    names: Names
    uuid: str
    file: GuestFile | None = None
    host: System | None = None
    guest: Guest | None = None

    @property
    def name(self) -> str:
        """The names as one: ``kvm1/guest1``."""
        return "/".join(self.names)

    @property
    def matrix(self) -> Matrix:
        """What the file and its administrator give to the guest."""
        assigned = read_facts(self.host.shell.tree).assigned(self.uuid) if self.host else EMPTY_MATRIX
        return assigned | self.file.matrix if self.file else assigned

    @property
    def vm(self) -> Vm | None:
        """Its VM, if it is running."""
        if self.host is None:
            return None
        if self.guest is not None and self.guest.vm is not None:
            return self.guest.vm
        vms = self.host.linux.vmm.vms
        return users(self.host.linux).get(self.uuid) or next((vm for vm in vms if vm.name == self.uuid), None)


def find_subject(emulation: Emulation, name: str, *, lpar: str | None = None, host: System | None = None) -> Subject:
    """The guest that ``guest1`` or ``kvm1/guest1`` names, or the mdev of a UUID.

    With ``lpar`` only what is in that LPAR is looked at, with ``host`` only that system's own guests. UnknownGuest
    lists the guests, or those that an ambiguous name may mean.
    """
    subjects = [
        each
        for each in _subjects(emulation)
        if lpar in (None, each.names[0]) and (host is None or each.names[:-1] == host.names)
    ]
    named = meant(name, (each.names for each in subjects))
    found = [each for each in subjects if each.names in named or each.uuid == name.lower()]
    if len(found) == 1:
        return found[0]
    scope = host.name if host else lpar
    if found:
        known = ", ".join(each.name for each in found)
        raise UnknownGuest(f"there are several guests {name}{f' in {scope}' if scope else ''}: choose one of {known}")
    known = ", ".join(each.name for each in subjects) or "none"
    if scope:
        raise UnknownGuest(f"{scope} has no guest {name}: its guests are {known}")
    raise UnknownGuest(f"there is no guest {name}: the guests are {known}")


def _subjects(emulation: Emulation) -> Iterator[Subject]:
    """All guests of the file and the machine, then all other mdevs and VMs, by the name of the VM if there is one."""
    hosted = {guest.names: guest for guest in emulation.guests()}
    guests = dict(emulation.file.guests()) | {names: guest.file for names, guest in hosted.items()}
    for names, file in guests.items():
        guest = hosted.get(names)
        yield Subject(names, str(file.uuid), file, guest.host if guest else None, guest)
    for system in emulation.systems():
        known = {guest.uuid for guest in system.guests}
        vms = users(system.linux)
        for uuid in mdev_uuids(system.shell.tree):
            if uuid not in known:
                yield Subject((*system.names, vms[uuid].name if uuid in vms else uuid), uuid, host=system)
        own = {guest.vm for guest in system.guests}
        for vm in system.linux.vmm.vms:
            if not vm.files and vm not in own:  # its mdev was unplugged
                yield Subject((*system.names, vm.name), vm.name, host=system)
