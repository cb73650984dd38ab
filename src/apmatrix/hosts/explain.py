"""Why a guest has a queue or does not have it: every level from the machine down, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apmatrix.arch import Apqn  # noqa: TC001 - the protocol evaluates the annotations
from apmatrix.arch.matrix import listed
from apmatrix.rules.access import Condition, Verdict, verdicts
from apmatrix.rules.ownership import GUEST_DRIVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from apmatrix.arch import Matrix
    from apmatrix.hosts.facts import HostFacts
    from apmatrix.hosts.shell import Refusal


@dataclass(frozen=True, slots=True)
class Step:
    """One check: where, of what, whether the queue passes, why, and by which rule."""

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
        """The same as plain data."""
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


@dataclass(frozen=True, slots=True)
class GuestOfHost:
    """A guest and its mdev, for sentences: ``refusal`` is how the host refused its assignment, if it did."""

    name: str
    uuid: str
    refusal: Refusal | None = None


def host_steps(
    where: str, facts: HostFacts, guest: GuestOfHost, apqn: Apqn, names: Mapping[str, str] | None = None
) -> Iterator[Step]:
    """The steps of one host that hands a queue on to a guest; ``where`` is the host's name.

    ``names`` has the guests' names by the UUIDs of their mdevs.
    """
    explainer = _HostExplainer(facts, guest, apqn, names or {})
    for verdict in verdicts(facts.state, guest.uuid, apqn):
        subject, text = explainer.words[verdict.condition](verdict)
        passes = explainer.handed_on if verdict.condition is Condition.FILTER else verdict.passes
        yield Step(where, subject, passes, text, verdict.condition.rule)


class _HostExplainer:
    """Words for what a host decides about one queue."""

    def __init__(self, facts: HostFacts, guest: GuestOfHost, apqn: Apqn, names: Mapping[str, str]) -> None:
        self._facts = facts
        self._guest = guest
        self._apqn = apqn
        self._names = names
        # The kernel's own answer: its filter may not have run since the obstacles changed (MTX-31, MTX-53).
        self.handed_on = guest.uuid in facts.mdevs and apqn in facts.mdevs[guest.uuid].handed_on
        self.words: dict[Condition, Callable[[Verdict[str]], tuple[str, str]]] = {
            Condition.DEVICE: self._device,
            Condition.OVERRIDE: self._override,
            Condition.MASKS: self._masks,
            Condition.BINDING: self._binding,
            Condition.ASSIGNMENT: self._assignment,
            Condition.FILTER: self._filter,
        }

    def _device(self, verdict: Verdict[str]) -> tuple[str, str]:
        return "queue device", f"the bus scan found {'' if verdict.passes else 'no '}queue {self._apqn}"

    def _override(self, _verdict: Verdict[str]) -> tuple[str, str]:
        return "ownership", f"driver_override gives the queue to {self._facts.overrides[self._apqn]}"

    def _masks(self, verdict: Verdict[str]) -> tuple[str, str]:
        adapter, domain = self._apqn
        masks = self._facts.masks
        bits = (
            f"apmask bit {adapter} is {adapter in masks.apmask:d}, aqmask bit {domain} is {domain in masks.aqmask:d}"
        )
        owner = "for vfio_ap" if verdict.passes else "the host's"
        return "ownership", f"{bits}, so the queue is {owner}"

    def _binding(self, _verdict: Verdict[str]) -> tuple[str, str]:
        driver = self._facts.drivers.get(self._apqn)
        return "binding", f"bound to {driver or 'no driver'}"

    def _assignment(self, verdict: Verdict[str]) -> tuple[str, str]:
        if refusal := self._guest.refusal:
            return "assignment", f"the assignment was refused with {refusal.error}: {refusal.reason}"
        text = f"the mdev of {self._guest.name} {has(self._facts.assigned(self._guest.uuid), self._apqn)}"
        if verdict.holder and not verdict.passes:
            text += f"; {self._apqn} is assigned to {self._names.get(verdict.holder, verdict.holder)}"
        return "assignment", text

    def _filter(self, verdict: Verdict[str]) -> tuple[str, str]:
        """Linux hands on whole adapters: one missing queue costs all queues of the adapter."""
        adapter, domain = self._apqn
        if self.handed_on:
            return (
                "filter",
                f"every queue assigned to {self._guest.name} on adapter {adapter} is bound to vfio_ap",
            )
        if self._apqn not in self._facts.assigned(self._guest.uuid):
            return "filter", "what is not assigned is not handed on"
        text = f"adapter {adapter} with domain {domain} is not handed on"
        missing = [obstacle.apqn for obstacle in verdict.obstacles if obstacle.reset_code is None]
        if missing:
            text += f": {listed(missing)} is not bound to {GUEST_DRIVER}, and that costs the whole adapter"
        elif verdict.passes:
            text += ": nothing blocks it now, but Linux checks again only when something is assigned or bound"
        return "filter", text


def has(matrix: Matrix, apqn: Apqn) -> str:
    """``has adapter 5 and domain 4``, or what is missing."""
    missing = [
        f"{what} {number}"
        for what, number, mask in (("adapter", apqn.adapter, matrix.apm), ("domain", apqn.domain, matrix.aqm))
        if number not in mask
    ]
    if missing:
        return f"does not have {' and '.join(missing)}"
    return f"has adapter {apqn.adapter} and domain {apqn.domain}"
