"""Who holds what in an emulated machine: the facts of its systems, combined with what its levels have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import EMPTY_MATRIX, Matrix
from apmatrix.emulation.tree import SysfsTree
from apmatrix.hosts import AdapterView, GuestView, LparView, MatrixView, read_facts
from apmatrix.hosts.view import GuestState, Holders
from apmatrix.rules import handover

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from apmatrix.emulation.bringup import Emulation, Guest
    from apmatrix.hosts import HostFacts
    from apmatrix.linux import LinuxSystem, Vm

    Guests = Mapping[LinuxSystem, list[Guest]]  # of each system


def users(linux: LinuxSystem) -> dict[str, Vm]:
    """The VMs that have an mdev, by its UUID."""
    return {file.mdev.name: vm for vm in linux.vmm.vms for file in vm.files}


def handed_on(guest: Guest, facts: HostFacts | None = None) -> Matrix:
    """What vfio_ap's filter left of a guest's matrix, whether the guest is running or not."""
    facts = facts or read_facts(guest.host.shell.tree)
    return facts.mdevs[guest.uuid].handed_on if guest.uuid in facts.mdevs else EMPTY_MATRIX


def granted(emulation: Emulation, guest: Guest) -> Matrix:
    """What a running guest should have according to its hosts, all levels together; the machine is not asked."""
    profile = next(lpar.profile for lpar in emulation.file.lpars if lpar.name == guest.names[0])
    above = (each for each in emulation.guests() if guest.names[: len(each.names)] == each.names)
    shares = (handed_on(each) & each.vm.level.form.limits for each in above if each.vm is not None)
    return handover.effective((profile, *shares))


class _SystemView:
    """One system with its mdevs and guests, at one moment."""

    def __init__(self, linux: LinuxSystem, guests: Guests) -> None:
        known = {guest.uuid: guest.file.name for guest in guests.get(linux, ())}
        places = {uuid: place for place, uuid in enumerate(known)}
        facts = read_facts(SysfsTree(linux.sysfs))
        self._assigned = {uuid: facts.mdevs[uuid].assigned for uuid in facts.mdevs}
        self._order = sorted(facts.mdevs, key=lambda uuid: places.get(uuid, len(places)))
        self._names = {uuid: known.get(uuid, uuid) for uuid in facts.mdevs}
        self._vms = users(linux)
        booted = {uuid: vm.linux for uuid, vm in self._vms.items() if vm.booted and uuid in facts.mdevs}
        self._below = {uuid: _SystemView(guest, guests) for uuid, guest in booted.items()}
        self.holders = Holders(
            facts,
            {uuid: self._guest(uuid) for uuid in facts.mdevs},
            {
                guest.file.name: Matrix(guest.file.adapters, guest.file.domains)
                for guest in guests.get(linux, ())
                if guest.refusal and guest.uuid not in facts.mdevs
            },
        )

    def _guest(self, uuid: str) -> GuestState:
        below = self._below.get(uuid)
        return GuestState(self._names[uuid], self._effective(uuid), below.holders if below else None)

    def _effective(self, uuid: str) -> Matrix:
        """What the VM can use: the AND of all levels; nothing without one."""
        return self._vms[uuid].level.effective if uuid in self._vms else EMPTY_MATRIX

    def guests(self, above: tuple[str, ...]) -> Iterator[GuestView]:
        """The mdevs and, below each whose guest is booted, those of the guest."""
        for uuid in self._order:
            path = (*above, self._names[uuid])
            yield GuestView("/".join(path), uuid, uuid in self._vms, self._assigned[uuid], self._effective(uuid))
            if uuid in self._below:
                yield from self._below[uuid].guests(path)


def look(emulation: Emulation) -> MatrixView:
    """The whole machine as it is now."""
    machine = emulation.machine
    guests = {system.linux: system.guests for system in emulation.systems()}
    systems = {system.names[0]: system.linux for system in emulation.lpars}
    return MatrixView(
        machine.name,
        tuple(
            AdapterView(number, str(adapter.card_type), adapter.state.value)
            for number, adapter in sorted(machine.adapters.items())
        ),
        tuple(
            _lpar(lpar.name, systems[lpar.name], guests)
            if lpar.name in systems
            else LparView(lpar.name, False, lpar.profile)
            for lpar in emulation.file.lpars
        ),
        tuple(refusal.finding for refusal in emulation.refusals),
        emulation.file.findings,
        tuple(refusal.finding for refusal in emulation.unforeseen),
    )


def _lpar(name: str, linux: LinuxSystem, guests: Guests) -> LparView:
    profile = linux.level.matrix
    view = _SystemView(linux, guests)
    return LparView(name, True, profile, tuple(map(view.holders.look, profile.apqns())), tuple(view.guests((name,))))
