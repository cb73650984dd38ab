"""What a running machine does when asked: a function for each request.

``OPERATIONS`` is filled by the decorator :func:`answers`, here and in the modules beside this one.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from apmatrix.arch import Mask
from apmatrix.cards import AdapterState
from apmatrix.emulation import System, UnknownGuest, explain, explain_all, look
from apmatrix.linux import Refused
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.protocol.guests import GuestFacts, ListGuests, StartGuest, StopGuest
from apmatrix.service.protocol.hardware import AdapterFacts, ProfileFacts, SetAdapterState, SetProfile
from apmatrix.service.protocol.machine import GetLog, LogFacts
from apmatrix.service.protocol.matrix import ExplainQueues, GetMatrix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apmatrix.emulation import Emulation, Guest
    from apmatrix.hosts import Explanation, MatrixView
    from apmatrix.linux import Vm
    from apmatrix.service.protocol.messages import MachineRequest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """The machine that is asked, and the system that the client's command runs in, if any."""

    emulation: Emulation
    system: System | None = None

    def choose(self, name: str | None) -> System:
        """The system that a request names, else the client's own, else the first LPAR's; ControlError without one."""
        return self.system if self.system and not name else find_system(self.emulation, name)


OPERATIONS: Final[dict[type[MachineRequest[Any]], Callable[[Asked, Any], Any]]] = {}
"""The function for each request of a machine that any client may send."""


def answers(request: type[MachineRequest[T]]) -> Callable[[Callable[[Asked, Any], T]], Callable[[Asked, Any], T]]:
    """Make a function answer requests of a type. It raises ApmatrixError if the machine refuses."""

    def register(function: Callable[[Asked, Any], T]) -> Callable[[Asked, Any], T]:
        OPERATIONS[request] = function
        return function

    return register


def find_system(emulation: Emulation, name: str | None) -> System:
    """The Linux system of that name: an LPAR's, a running guest's (``guest1``, ``kvm1/guest1``), the first LPAR's.

    A VM that was started by UUID has that as its name. ControlError lists the systems.
    """
    systems = {system.names: system for system in emulation.known_systems()}
    vms = {(*system.names, vm.name): vm for system, vm in _vms(emulation)}
    known = tuple(systems | vms)
    found = [names for names in known if name in ("/".join(names), names[-1])] if name else known[:1]
    if len(found) == 1:
        (names,) = found
        level = vms[names].level if names in vms else systems[names].linux.level
        if level in emulation.taken:
            raise ControlError(f"{'/'.join(names)} runs its own operating system (apmatrix boot): look inside it")
        return systems.get(names) or System.of(names, vms[names].linux)
    if found:
        raise ControlError(f"{name} may be {' or '.join(map('/'.join, found))}", ExitCode.UNREADABLE)
    there = ", ".join(map("/".join, known)) or "none"
    sentence = f"no Linux system {name or ''} is running in this machine (running: {there})"
    raise ControlError(sentence, ExitCode.UNREADABLE)


# guests


@answers(ListGuests)
def list_guests(asked: Asked, _request: ListGuests) -> tuple[GuestFacts, ...]:
    """Guests of the file, and VMs that were started by UUID."""
    known = {guest.uuid: guest for guest in asked.emulation.guests()}
    found = [_guest_facts(guest) for guest in known.values()]
    for system, vm in _vms(asked.emulation):
        mdev = next((file.mdev.name for file in vm.files), vm.name)
        if mdev not in known:
            found.append(GuestFacts(f"{system.name}/{vm.name}", mdev, running=True))
    return tuple(found)


@answers(StartGuest)
def start_guest(asked: Asked, request: StartGuest) -> GuestFacts:
    """Start a guest of the file, or a VM by the UUID of its mdev."""
    here, emulation, name = asked.choose(request.system), asked.emulation, request.name
    with emulation.changing:
        guest = _find_guest(emulation, here, name)
        if guest is not None and guest.refusal is None:
            if guest.vm is not None:
                raise ControlError(f"guest {guest.name} is already running")
            emulation.start_guest(guest)
            return _guest_facts(guest)
        try:
            mdev = str(uuid.UUID(name))
        except ValueError:
            if guest:
                raise ControlError(f"{here.name} has no guest {name}: it was refused: {guest.refusal}") from None
            sentence = f"{here.name} has no guest {name}; give the UUID of an mdev"
            raise ControlError(sentence, ExitCode.UNREADABLE) from None
        emulation.start_vm(here.linux, mdev)
        return GuestFacts(f"{here.name}/{mdev}", mdev, running=True)


@answers(StopGuest)
def stop_guest(asked: Asked, request: StopGuest) -> GuestFacts:
    """Stop a guest of the file, or a VM by its name or by the UUID of its mdev."""
    here, emulation, name = asked.choose(request.system), asked.emulation, request.name
    with emulation.changing:
        guest = _find_guest(emulation, here, name)
        if guest is not None and guest.vm is not None:
            emulation.stop_guest(guest)
            return _guest_facts(guest)
        if guest is not None and guest.host is not here:
            raise ControlError(f"guest {guest.name} is not running")
        try:
            vm = here.linux.vmm.find(name)
        except Refused as refused:
            hint = "apmatrix guest list shows which guests are running"
            raise ControlError(f"guest {guest.name} is not running" if guest else f"{refused}; {hint}") from refused
        emulation.stop_vm(vm)
        return GuestFacts(f"{here.name}/{vm.name}", name, running=False)


def _find_guest(emulation: Emulation, here: System, name: str) -> Guest | None:
    """A guest of the file: the guests of the system that is asked come first."""
    everywhere = sorted(emulation.guests(), key=lambda guest: guest.host is not here)
    return next((guest for guest in everywhere if name.lower() in (guest.uuid, guest.name, guest.names[-1])), None)


def _guest_facts(guest: Guest) -> GuestFacts:
    return GuestFacts(guest.name, guest.uuid, guest.vm is not None)


def _vms(emulation: Emulation) -> Iterator[tuple[System, Vm]]:
    for system in emulation.systems():
        for vm in system.linux.vmm.vms:
            yield system, vm


# profiles and adapters


@answers(SetProfile)
def set_profile(asked: Asked, request: SetProfile) -> ProfileFacts:
    """Edit the running activation profile; what is not given stays the same."""
    machine, name = asked.emulation.machine, request.lpar
    if name not in machine.lpars:
        sentence = f"there is no LPAR {name} in {machine.name}: {', '.join(machine.lpars)}"
        raise ControlError(sentence, ExitCode.UNREADABLE)
    given = {"apm": request.adapters, "aqm": request.usage_domains, "adm": request.control_domains}
    changes = {mask: numbers for mask, numbers in given.items() if numbers is not None}
    matrix = replace(machine.lpars[name].profile.matrix, **changes)
    machine.set_profile(name, matrix)
    return ProfileFacts(name, matrix.apm, matrix.aqm, matrix.adm)


@answers(SetAdapterState)
def set_adapter_state(asked: Asked, request: SetAdapterState) -> AdapterFacts:
    """Change the state of a card."""
    machine, number = asked.emulation.machine, request.adapter
    if number not in machine.adapters:
        known = Mask.of(*machine.adapters).ranges() or "it has none"
        raise ControlError(f"there is no adapter {number} in {machine.name}: {known}", ExitCode.UNREADABLE)
    machine.set_adapter_state(number, AdapterState(request.state))
    return AdapterFacts(number, request.state)


# what there is to see


@answers(GetLog)
def get_log(asked: Asked, request: GetLog) -> tuple[LogFacts, ...]:
    """A system's kernel log."""
    entries = asked.choose(request.system).linux.log.entries
    return tuple(LogFacts(entry.time, entry.level.name.lower(), entry.text) for entry in entries)


@answers(GetMatrix)
def get_matrix(asked: Asked, _request: GetMatrix) -> MatrixView:
    """The whole machine as it is now."""
    return look(asked.emulation)


@answers(ExplainQueues)
def explain_queues(asked: Asked, request: ExplainQueues) -> tuple[Explanation, ...]:
    """Explain queues of a guest of the file, running or not, or of any mdev, as the machine is now."""
    try:
        if request.apqn is None:
            return tuple(explain_all(asked.emulation, request.guest))
        return (explain(asked.emulation, request.guest, request.apqn),)
    except UnknownGuest as error:
        raise ControlError(str(error), ExitCode.UNREADABLE) from error
