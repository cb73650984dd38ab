"""What a running machine does when asked: a function for each request.

``OPERATIONS`` is filled by the decorator :func:`answers`, here and in the modules beside this one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from apmatrix.arch import Mask
from apmatrix.cards import AdapterState
from apmatrix.emulation import UnknownGuest, explain, explain_all, look
from apmatrix.hosts.facts import mdev_uuids
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.naming import find_guest, find_system, not_running
from apmatrix.service.protocol.guests import GuestFacts, ListGuests, StartGuest, StopGuest
from apmatrix.service.protocol.hardware import AdapterFacts, ProfileFacts, SetAdapterState, SetProfile
from apmatrix.service.protocol.machine import GetLog, KernelLogFacts, LogFacts
from apmatrix.service.protocol.matrix import ExplainQueues, GetMatrix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apmatrix.emulation import Emulation, Guest, Subject, System
    from apmatrix.hosts import Explanation, MatrixView
    from apmatrix.linux import Vm
    from apmatrix.service.protocol.lines import Lines
    from apmatrix.service.protocol.messages import MachineRequest
    from apmatrix.service.protocol.names import SystemName

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """The machine that is asked, and the system that the client's command runs in, if any.

    ``lines`` is where the request came from, with descriptors perhaps.
    """

    emulation: Emulation
    system: System | None = None
    lines: Lines | None = None

    def choose(self, name: SystemName) -> System:
        """The system that a request names, else the client's own, else the first LPAR's; ControlError without one."""
        return self.system if self.system and not name else find_system(self.emulation, name)

    def take_descriptor(self) -> int:
        """The one descriptor that came with the request; ValueError if none or several did."""
        if self.lines is None:
            raise ValueError("1 file descriptor expected, and the request came over no socket")
        (descriptor,) = self.lines.take_descriptors(1)
        return descriptor

    def guest(self, name: str, scope: SystemName) -> Subject:
        """The guest of the system that a request names, else of the client's own, else of the whole machine.

        A name from the LPAR down is looked up in the whole machine, unless the request names a system. ControlError
        if there is none, or if the name is ambiguous.
        """
        here = find_system(self.emulation, scope) if scope else None if "/" in name else self.system
        return find_guest(self.emulation, name, host=here)


OPERATIONS: Final[dict[type[MachineRequest[Any]], Callable[[Asked, Any], Any]]] = {}
"""The function for each request of a machine that any client may send."""


def answers(request: type[MachineRequest[T]]) -> Callable[[Callable[[Asked, Any], T]], Callable[[Asked, Any], T]]:
    """Make a function answer requests of a type. It raises ApmatrixError if the machine refuses."""

    def register(function: Callable[[Asked, Any], T]) -> Callable[[Asked, Any], T]:
        OPERATIONS[request] = function
        return function

    return register


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
    emulation = asked.emulation
    with emulation.changing:
        subject = asked.guest(request.name, request.system)
        guest, host = subject.guest, subject.host
        if subject.vm is not None:
            raise ControlError(f"guest {subject.name} is already running", ExitCode.UNREACHABLE)
        if host is None:
            raise not_running(subject)
        if guest is not None:
            if guest.refusal is not None and guest.uuid not in mdev_uuids(host.shell.tree):
                findings = (guest.refusal.finding,)
                raise ControlError(f"guest {guest.name} was refused: {guest.refusal}", findings=findings)
            emulation.start_guest(guest)
            return _guest_facts(guest)
        emulation.start_vm(host.linux, subject.uuid)
        return GuestFacts(subject.name, subject.uuid, running=True)


@answers(StopGuest)
def stop_guest(asked: Asked, request: StopGuest) -> GuestFacts:
    """Stop a guest of the file, or a VM by its name or by the UUID of its mdev."""
    emulation = asked.emulation
    with emulation.changing:
        subject = asked.guest(request.name, request.system)
        vm = subject.vm
        if vm is None:
            raise ControlError(f"guest {subject.name} is not running", ExitCode.UNREACHABLE)
        if subject.guest is not None and subject.guest.vm is vm:
            emulation.stop_guest(subject.guest)
        else:
            emulation.stop_vm(vm)
        return GuestFacts(subject.name, subject.uuid, running=False)


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
def get_log(asked: Asked, request: GetLog) -> KernelLogFacts:
    """A system's kernel log."""
    log = asked.choose(request.system).linux.log
    entries = (LogFacts(entry.time, entry.level.name.lower(), entry.text) for entry in log.entries)
    return KernelLogFacts(log.start, tuple(entries))


@answers(GetMatrix)
def get_matrix(asked: Asked, _request: GetMatrix) -> MatrixView:
    """The whole machine as it is now."""
    return look(asked.emulation)


@answers(ExplainQueues)
def explain_queues(asked: Asked, request: ExplainQueues) -> tuple[Explanation, ...]:
    """Explain queues of a guest of the file, running or not, or of any mdev, as the machine is now.

    ValueError for a queue that cannot exist.
    """
    Mask.of(*(request.apqn or ()))
    try:
        if request.apqn is None:
            return tuple(explain_all(asked.emulation, request.guest))
        return (explain(asked.emulation, request.guest, request.apqn),)
    except UnknownGuest as error:
        raise ControlError(str(error), ExitCode.UNREADABLE) from error
