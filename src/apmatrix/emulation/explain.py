"""Explains a queue of a guest of an emulated machine: the machine's steps, and between them those of each host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apmatrix.arch import EMPTY_MATRIX
from apmatrix.emulation.errors import UnknownGuest
from apmatrix.emulation.views import users
from apmatrix.hosts import Explanation, Step, read_facts
from apmatrix.hosts.explain import GuestOfHost, has, host_steps
from apmatrix.hosts.facts import mdev_uuids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.arch import Apqn, Matrix
    from apmatrix.config import GuestFile
    from apmatrix.emulation.bringup import Emulation, Guest, System
    from apmatrix.linux import Vm


@dataclass(frozen=True, slots=True)
class Subject:
    """The guest or mdev whose queues are explained: a guest of the file, or an mdev that is in no file.

    ``names`` lead to it from the LPAR down, ``uuid`` is its mdev's, ``file`` is what the file says about it, ``host``
    is the Linux with its mdev; None if that is not running.
    """

    names: tuple[str, ...]
    uuid: str
    file: GuestFile | None
    host: System | None

    @property
    def matrix(self) -> Matrix:
        """What the file and its administrator give to the guest."""
        assigned = read_facts(self.host.shell.tree).assigned(self.uuid) if self.host else EMPTY_MATRIX
        return assigned | self.file.matrix if self.file else assigned


def find_subject(emulation: Emulation, name: str) -> Subject:
    """The guest that ``guest1`` or ``kvm1/guest1`` names, or the mdev of a UUID; UnknownGuest lists the guests."""
    subjects = list(_subjects(emulation))
    parts = tuple(name.split("/"))
    found = [each for each in subjects if each.names == parts or each.uuid == name.lower()]
    found = found or [each for each in subjects if each.names[-len(parts) :] == parts]
    if len(found) == 1:
        return found[0]
    known = ", ".join("/".join(each.names) for each in found or subjects) or "none"
    if found:
        raise UnknownGuest(f"there are several guests {name}: choose one of {known}")
    raise UnknownGuest(f"there is no guest {name}: the guests are {known}")


def _subjects(emulation: Emulation) -> Iterator[Subject]:
    """All guests of the file and the machine, then all other mdevs, by the name of the VM if they have one."""
    hosted = {guest.names: guest for guest in emulation.guests()}
    guests = dict(emulation.file.guests()) | {names: guest.file for names, guest in hosted.items()}
    for names, file in guests.items():
        yield Subject(names, str(file.uuid), file, hosted[names].host if names in hosted else None)
    for system in emulation.systems():
        known = {guest.uuid for guest in system.guests}
        vms = users(system.linux)
        for uuid in mdev_uuids(system.shell.tree):
            if uuid not in known:
                name = vms[uuid].name if uuid in vms else uuid
                yield Subject((*system.names, name), uuid, None, system)


def explain(emulation: Emulation, name: str, apqn: Apqn) -> Explanation:
    """Explain one queue for a guest or an mdev, as the machine is now; raises UnknownGuest."""
    return _explained(emulation, find_subject(emulation, name), apqn)


def explain_all(emulation: Emulation, name: str) -> list[Explanation]:
    """Explain every queue that is given to a guest or an mdev; raises UnknownGuest."""
    subject = find_subject(emulation, name)
    return [_explained(emulation, subject, apqn) for apqn in subject.matrix.apqns()]


def _explained(emulation: Emulation, subject: Subject, apqn: Apqn) -> Explanation:
    return Explanation("/".join(subject.names), apqn, tuple(_steps(emulation, subject, apqn)))


def _steps(emulation: Emulation, subject: Subject, apqn: Apqn) -> Iterator[Step]:
    lpar, *below = subject.names
    yield _adapter(emulation, apqn)
    yield _profile(emulation, lpar, apqn)
    system: System | None = next((each for each in emulation.lpars if each.names == (lpar,)), None)
    if system is None:
        why = next(str(refusal) for refusal in emulation.refusals if refusal.system == lpar)
        yield Step(lpar, "activation", False, f"the LPAR is not active: {why}", "hardware.md 7.2")
    vm = None
    while system is not None and below:
        name = below.pop(0)
        guest = next((each for each in system.guests if each.file.name == name), None)
        uuid = guest.uuid if guest else subject.uuid
        vm = users(system.linux).get(uuid)
        yield from _through(system, uuid, guest, vm, apqn)
        system = guest.system if guest and vm else None
    if vm is not None and not below:
        yield _answer(emulation, "/".join(subject.names), vm, apqn)


def _through(host: System, uuid: str, guest: Guest | None, vm: Vm | None, apqn: Apqn) -> Iterator[Step]:
    """The steps of one host that hands a queue on to one of its guests."""
    name = guest.file.name if guest else uuid
    refusal = guest.refusal if guest and not guest.defined else None
    facts = read_facts(host.shell.tree, [apqn])
    names = {each.uuid: each.file.name for each in host.guests}
    yield from host_steps(host.name, facts, GuestOfHost(name, uuid, refusal), apqn, names)
    if vm is None:
        yield Step(host.name, "VM", False, f"{name} is not running: {_why_stopped(guest)}", "VFIO-2")
    else:
        matrix = vm.level.matrix
        text = f"the control block of {name} (format {vm.level.form.name[-1]}) {has(matrix, apqn)}"
        yield Step(host.name, "control block", apqn in matrix, text, "KVM-10")


def _why_stopped(guest: Guest | None) -> str:
    if guest is None:
        return "no VM has its mdev"
    if guest.refusal:
        return guest.refusal.reason
    return "it was stopped" if guest.file.start else "the file says start = false"


def _adapter(emulation: Emulation, apqn: Apqn) -> Step:
    adapter = emulation.machine.adapters.get(apqn.adapter)
    if adapter is None:
        text = f"the machine has no adapter {apqn.adapter}"
    else:
        text = f"adapter {apqn.adapter} is a {adapter.card_type}, {adapter.state.value}"
    return Step(emulation.machine.name, "adapter", adapter is not None, text, "hardware.md 2.1")


def _profile(emulation: Emulation, name: str, apqn: Apqn) -> Step:
    """The running profile, or that of the file if the LPAR could not be activated."""
    running = emulation.machine.lpars.get(name)
    if running is not None:
        profile = running.profile.matrix
    else:
        profile = next(lpar.profile for lpar in emulation.file.lpars if lpar.name == name)
    return Step(name, "profile", apqn in profile, f"the activation profile {has(profile, apqn)}", "hardware.md 7.2")


def _answer(emulation: Emulation, where: str, vm: Vm, apqn: Apqn) -> Step:
    level = vm.level
    status, _ = emulation.machine.port(level, apqn).tapq()
    effective = apqn in level.effective
    text = (
        f"the AND of all {level.depth} levels {'has' if effective else 'does not have'} the queue, "
        f"TAPQ answers {status.response_code.described}"
    )
    return Step(where, "effective", effective, text, "KVM-40")
