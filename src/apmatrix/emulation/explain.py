"""Why a guest has a queue, or has it not: every level from the machine down, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apmatrix.arch import Apqn, Matrix
from apmatrix.arch.matrix import listed
from apmatrix.emulation.administrator import described
from apmatrix.emulation.look import GUEST_DRIVER, assigned_matrix, handed_on, queue_drivers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.emulation.bringup import Emulation, Guest, System


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that decides: where, what was looked at, whether the queue passes, why, by which rule."""

    where: str
    subject: str
    passes: bool
    text: str
    rule: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """All steps for one guest and one queue; the guest has the queue if it passes all of them."""

    guest: str
    apqn: Apqn
    steps: tuple[Step, ...]

    @property
    def has(self) -> bool:
        """True if the guest can use the queue."""
        return all(step.passes for step in self.steps)

    @property
    def reason(self) -> Step:
        """The first step that the queue does not pass; the last one if it passes all."""
        return next((step for step in self.steps if not step.passes), self.steps[-1])

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "guest": self.guest,
            "apqn": str(self.apqn),
            "has": self.has,
            "reason": self.reason.text,
            "steps": [
                {
                    "where": step.where,
                    "subject": step.subject,
                    "passes": step.passes,
                    "text": step.text,
                    "rule": step.rule,
                }
                for step in self.steps
            ],
        }


def explain(emulation: Emulation, names: tuple[str, ...], apqn: Apqn) -> Explanation:
    """Explain ``apqn`` for the guest with these names, the LPAR's first."""
    return Explanation("/".join(names), apqn, tuple(_steps(emulation, names, apqn)))


def _steps(emulation: Emulation, names: tuple[str, ...], apqn: Apqn) -> Iterator[Step]:
    yield _adapter(emulation, apqn)
    yield _profile(emulation, names[0], apqn)
    system = next((lpar for lpar in emulation.lpars if lpar.names == names[:1]), None)
    if system is None:
        why = next(str(refusal) for refusal in emulation.refusals if refusal.system == names[0])
        yield Step(names[0], "activation", False, f"the LPAR is not active: {why}", "hardware.md 7.2")
        return
    for name in names[1:]:
        guest = next(guest for guest in system.guests if guest.file.name == name)
        yield from _through(system, guest, apqn)
        if guest.system is None:
            return
        system = guest.system
    yield _answer(emulation, system, apqn)


def _through(system: System, guest: Guest, apqn: Apqn) -> Iterator[Step]:
    """The steps of one host that hands a queue on to one of its guests."""
    drivers = queue_drivers(system.linux)
    yield _device(system, drivers, apqn)
    yield _ownership(system, apqn)
    yield _binding(system, drivers, apqn)
    yield _assignment(system, guest, apqn)
    yield _filter(system, guest, drivers, apqn)
    if guest.vm is None:
        text = guest.refusal.reason if guest.refusal else "the file says start = false"
        yield Step(system.name, "VM", False, f"{guest.file.name} does not run: {text}", "VFIO-2")
    else:
        yield _control_block(system, guest, apqn)


def _adapter(emulation: Emulation, apqn: Apqn) -> Step:
    adapter = emulation.machine.adapters.get(apqn.adapter)
    if adapter is None:
        text = f"the machine has no adapter {apqn.adapter}"
    else:
        text = f"adapter {apqn.adapter} is a {adapter.card_type}, {adapter.state.value}"
    return Step(emulation.machine.name, "adapter", adapter is not None, text, "hardware.md 2.1")


def _profile(emulation: Emulation, name: str, apqn: Apqn) -> Step:
    profile = next(lpar.profile for lpar in emulation.file.lpars if lpar.name == name)
    text = f"the activation profile {_has(profile, apqn)}"
    return Step(name, "profile", apqn in profile, text, "hardware.md 7.2")


def _device(system: System, drivers: dict[Apqn, str | None], apqn: Apqn) -> Step:
    found = apqn in drivers
    text = f"the bus scan found queue {apqn}" if found else f"the bus scan found no queue {apqn}"
    return Step(system.name, "queue device", found, text, "BUS-76")


def _ownership(system: System, apqn: Apqn) -> Step:
    """Masks, or the override if there is one: who may bind the queue."""
    apmask, aqmask = system.admin.mask("apmask"), system.admin.mask("aqmask")
    device = f"bus/ap/devices/{apqn}/driver_override"
    override = system.admin.read(device) if str(apqn) in system.linux.sysfs.list("bus/ap/devices") else ""
    if override:
        owner = f"driver_override gives the queue to {override}"
        return Step(system.name, "ownership", override == GUEST_DRIVER, owner, "BUS-60")
    bits = (
        f"apmask bit {apqn.adapter} is {int(apqn.adapter in apmask)}, aqmask bit {apqn.domain} is "
        f"{int(apqn.domain in aqmask)}"
    )
    host = apqn.adapter in apmask and apqn.domain in aqmask
    owner = "so the queue is the host's" if host else "so the queue is for vfio_ap"
    return Step(system.name, "ownership", not host, f"{bits}, {owner}", "BUS-20")


def _binding(system: System, drivers: dict[Apqn, str | None], apqn: Apqn) -> Step:
    driver = drivers.get(apqn)
    text = f"bound to {driver}" if driver else "bound to no driver"
    return Step(system.name, "binding", driver == GUEST_DRIVER, text, "BUS-42")


def _assignment(system: System, guest: Guest, apqn: Apqn) -> Step:
    matrix = assigned_matrix(system.linux, guest.uuid)
    holders = [name for name, assigned in _others(system, guest) if apqn in assigned]
    if guest.refusal and not guest.defined:
        text = f"the assignment was refused with {guest.refusal.error}: {guest.refusal.reason}"
    else:
        text = f"the mdev of {guest.file.name} {_has(matrix, apqn)}"
        if holders and apqn not in matrix:
            text += f"; {apqn} is assigned to {holders[0]}"
    return Step(system.name, "assignment", apqn in matrix, text, "MTX-21")


def _filter(system: System, guest: Guest, drivers: dict[Apqn, str | None], apqn: Apqn) -> Step:
    """Linux hands on whole adapters: one queue that is not there costs all of the adapter's."""
    assigned = assigned_matrix(system.linux, guest.uuid)
    passes = apqn in handed_on(guest)
    if passes:
        text = f"every queue that {guest.file.name} is assigned on adapter {apqn.adapter} is bound to vfio_ap"
    elif apqn not in assigned:
        text = "what is not assigned is not handed on"
    else:
        domains = assigned.aqm & system.admin.mask("ap_usage_domain_mask")
        row = (Apqn(apqn.adapter, domain) for domain in domains)
        missing = [other for other in row if drivers.get(other) != GUEST_DRIVER]
        text = f"adapter {apqn.adapter} with domain {apqn.domain} is not handed on"
        if missing:
            text += f": {listed(missing)} is not bound to vfio_ap, and that costs the whole adapter"
    return Step(system.name, "filter", passes, text, "MTX-50")


def _control_block(system: System, guest: Guest, apqn: Apqn) -> Step:
    assert guest.vm is not None
    level = guest.vm.level
    text = f"the control block of {guest.file.name} (format {level.form.name[-1]}) {_has(level.matrix, apqn)}"
    return Step(system.name, "control block", apqn in level.matrix, text, "KVM-10")


def _answer(emulation: Emulation, system: System, apqn: Apqn) -> Step:
    level = system.linux.level
    status, _ = emulation.machine.port(level, apqn).tapq()
    effective = apqn in level.effective
    text = (
        f"the AND of all {level.depth} levels {'has' if effective else 'does not have'} the queue, "
        f"TAPQ answers {described(status.response_code)}"
    )
    return Step(system.name, "effective", effective, text, "KVM-40")


def _has(matrix: Matrix, apqn: Apqn) -> str:
    """``has adapter 5 and domain 4``, or what is missing."""
    missing = [
        f"{what} {number}"
        for what, number, mask in (("adapter", apqn.adapter, matrix.apm), ("domain", apqn.domain, matrix.aqm))
        if number not in mask
    ]
    if missing:
        return f"does not have {' and '.join(missing)}"
    return f"has adapter {apqn.adapter} and domain {apqn.domain}"


def _others(system: System, guest: Guest) -> Iterator[tuple[str, Matrix]]:
    """The other guests of a host and what is assigned to them."""
    return (
        (other.file.name, assigned_matrix(system.linux, other.uuid)) for other in system.guests if other is not guest
    )
