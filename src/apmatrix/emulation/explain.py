"""Explains a queue of a guest of an emulated machine: what each host says, between what the machine says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError
from apmatrix.emulation.views import users
from apmatrix.hosts import Explanation, Step, read_facts
from apmatrix.hosts.explain import GuestOfHost, has, host_steps
from apmatrix.hosts.facts import mdev_uuids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.arch import Apqn, Matrix
    from apmatrix.emulation.bringup import Emulation, Guest, System
    from apmatrix.linux import Vm


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose queues are explained: a guest of the file, or an mdev by its UUID, of a host.

    ``guest`` is None for an mdev that no file knows.
    """

    host: System
    uuid: str
    guest: Guest | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names from the LPAR down."""
        return self.guest.names if self.guest else (*self.host.names, self.uuid)

    @property
    def vm(self) -> Vm | None:
        """The VM that has the mdev now, whoever started it."""
        return users(self.host.linux).get(self.uuid)

    def matrix(self) -> Matrix:
        """What the file or an administrator gives to the guest."""
        assigned = read_facts(self.host.shell.tree).assigned(self.uuid)
        return assigned | self.guest.file.matrix if self.guest else assigned


class NoSuchGuest(ApmatrixError):
    """No guest or mdev of the machine has the name that was given, or several have it."""


def find_subject(emulation: Emulation, name: str) -> Subject:
    """The guest that ``guest1`` or ``kvm1/guest1`` means, or the mdev of a UUID; NoSuchGuest lists what there is."""
    subjects = list(_subjects(emulation))
    parts = tuple(name.split("/"))
    found = [each for each in subjects if each.names[-len(parts) :] == parts or each.uuid == name.lower()]
    if len(found) == 1:
        return found[0]
    known = ", ".join("/".join(each.names) for each in found or subjects) or "none"
    if found:
        raise NoSuchGuest(f"there are several guests {name}: say which, one of {known}")
    raise NoSuchGuest(f"there is no guest {name} on this machine: its guests are {known}")


def _subjects(emulation: Emulation) -> Iterator[Subject]:
    """The guests of the file, then the mdevs that it does not know."""
    for guest in emulation.guests():
        yield Subject(guest.host, guest.uuid, guest)
    for system in emulation.systems():
        known = {guest.uuid for guest in system.guests}
        yield from (Subject(system, uuid) for uuid in mdev_uuids(system.shell.tree) if uuid not in known)


def explain(emulation: Emulation, names: tuple[str, ...], apqn: Apqn) -> Explanation:
    """Explain ``apqn`` for the guest of the file with these names, the LPAR's first, as the machine is now."""
    return Explanation("/".join(names), apqn, tuple(_steps(emulation, names, apqn)))


def explain_subject(emulation: Emulation, subject: Subject, apqn: Apqn) -> Explanation:
    """The same for a guest or an mdev of a running machine."""
    steps = _steps(emulation, subject.names, apqn, subject)
    return Explanation("/".join(subject.names), apqn, tuple(steps))


def _steps(
    emulation: Emulation, names: tuple[str, ...], apqn: Apqn, subject: Subject | None = None
) -> Iterator[Step]:
    yield _adapter(emulation, apqn)
    yield _profile(emulation, names[0], apqn)
    system = next((lpar for lpar in emulation.lpars if lpar.names == names[:1]), None)
    if system is None:
        why = next(str(refusal) for refusal in emulation.refusals if refusal.system == names[0])
        yield Step(names[0], "activation", False, f"the LPAR is not active: {why}", "hardware.md 7.2")
        return
    vm = None
    for name in names[1:]:
        guest = next((each for each in system.guests if each.file.name == name), None)
        step = Subject(system, guest.uuid, guest) if guest else subject
        assert step is not None
        vm = step.vm
        yield from _through(step, vm, apqn)
        if vm is None or (guest is not None and guest.system is None):
            return
        system = guest.system if guest and guest.system else system
    if vm is not None:
        yield _answer(emulation, "/".join(names), vm, apqn)


def _through(subject: Subject, vm: Vm | None, apqn: Apqn) -> Iterator[Step]:
    """The steps of one host that hands a queue on to one of its guests."""
    host, guest = subject.host, subject.guest
    name = guest.file.name if guest else subject.uuid
    refusal = guest.refusal if guest and not guest.defined else None
    facts = read_facts(host.shell.tree, [apqn])
    names = {each.uuid: each.file.name for each in host.guests}
    yield from host_steps(host.name, facts, GuestOfHost(name, subject.uuid, refusal), apqn, names)
    if vm is None:
        yield Step(host.name, "VM", False, f"{name} does not run: {_why_stopped(guest)}", "VFIO-2")
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
