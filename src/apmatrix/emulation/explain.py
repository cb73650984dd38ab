"""Explains a queue of a guest of an emulated machine: the machine's steps, and between them those of each host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.emulation.names import find_subject
from apmatrix.emulation.views import users
from apmatrix.hosts import Explanation, Step, read_facts
from apmatrix.hosts.explain import GuestOfHost, has, host_steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.arch import Apqn
    from apmatrix.emulation.bringup import Emulation, Guest, System
    from apmatrix.emulation.names import Subject
    from apmatrix.linux import Vm


def explain(emulation: Emulation, name: str, apqn: Apqn) -> Explanation:
    """Explain one queue for a guest or an mdev, as the machine is now; raises UnknownGuest."""
    return _explained(emulation, find_subject(emulation, name), apqn)


def explain_all(emulation: Emulation, name: str) -> list[Explanation]:
    """Explain every queue that is given to a guest or an mdev; raises UnknownGuest."""
    subject = find_subject(emulation, name)
    return [_explained(emulation, subject, apqn) for apqn in subject.matrix.apqns()]


def _explained(emulation: Emulation, subject: Subject, apqn: Apqn) -> Explanation:
    return Explanation(subject.name, apqn, tuple(_steps(emulation, subject, apqn)))


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
        yield _answer(emulation, subject.name, vm, apqn)


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
