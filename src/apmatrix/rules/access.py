"""May this guest have this queue? The whole question, for one Linux that hands queues on to its guests.

The answer is yes if all of these hold, in this order:

1. the bus scan found a queue device (BUS-76),
2. it is not the host's: ``apmask`` and ``aqmask``, or its driver_override, leave it to vfio_ap (BUS-20, BUS-60),
3. it is bound to vfio_ap (BUS-42),
4. it is assigned to the guest's mdev, which excludes every other mdev (MTX-21),
5. the filter passes its adapter: it passes each queue of the adapter in a domain that is assigned and that the host
   has (MTX-50).

What a guest can use in the end is the AND of what each level above it hands on (``handover.effective``), the LPAR's
activation profile first (``profiles``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

from apmatrix.arch import EMPTY_MATRIX, Apqn, Matrix, ResponseCode
from apmatrix.rules.handover import Obstacle, in_the_way
from apmatrix.rules.ownership import GUEST_DRIVER, Masks

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

H = TypeVar("H", bound="Hashable")


class Condition(Enum):
    """The conditions that decide about a queue, each with its rule."""

    DEVICE = "BUS-76"
    OVERRIDE = "BUS-60"
    MASKS = "BUS-20"
    BINDING = "BUS-42"
    ASSIGNMENT = "MTX-21"
    FILTER = "MTX-50"

    @property
    def rule(self) -> str:
        """The ID of the rule."""
        return self.value


@dataclass(frozen=True, slots=True)
class HostState(Generic[H]):
    """What a Linux reports about itself.

    ``host`` is the matrix it has, ``drivers`` has every queue device with its driver, ``overrides`` the queues with
    a driver_override, ``assigned`` the matrix of each mdev, ``reset_codes`` how the last resets of queues ended, as
    far as that is known.
    """

    host: Matrix
    masks: Masks
    drivers: Mapping[Apqn, str | None]
    assigned: Mapping[H, Matrix]
    overrides: Mapping[Apqn, str] = field(default_factory=dict)
    reset_codes: Mapping[Apqn, ResponseCode] = field(default_factory=dict)

    def reset_code(self, apqn: Apqn) -> ResponseCode | None:
        """How the last reset of a queue that is bound to vfio_ap ended; None for any other queue."""
        if self.drivers.get(apqn) != GUEST_DRIVER:
            return None
        return self.reset_codes.get(apqn, ResponseCode.NORMAL)


@dataclass(frozen=True, slots=True)
class Verdict(Generic[H]):
    """How one condition decides; ``holder`` is another mdev with the queue, ``obstacles`` why the filter refuses."""

    condition: Condition
    passes: bool
    holder: H | None = None
    obstacles: tuple[Obstacle, ...] = ()


def verdicts(state: HostState[H], mdev: H, apqn: Apqn) -> Iterator[Verdict[H]]:
    """How each condition decides about ``apqn`` for the guest of ``mdev``, in order."""
    yield Verdict(Condition.DEVICE, apqn in state.drivers)
    override = state.overrides.get(apqn)
    if override:
        yield Verdict(Condition.OVERRIDE, override == GUEST_DRIVER)
    else:
        yield Verdict(Condition.MASKS, not state.masks.reserve(apqn))
    yield Verdict(Condition.BINDING, state.drivers.get(apqn) == GUEST_DRIVER)
    assigned = state.assigned.get(mdev, EMPTY_MATRIX)
    holders = (other for other, matrix in state.assigned.items() if other != mdev and apqn in matrix)
    yield Verdict(Condition.ASSIGNMENT, apqn in assigned, next(holders, None))
    possible = assigned & state.host
    found = tuple(in_the_way(apqn.adapter, possible.aqm, state.reset_code)) if apqn.adapter in possible.apm else ()
    yield Verdict(Condition.FILTER, apqn in possible and not found, obstacles=found)


def may_have(state: HostState[H], mdev: H, apqn: Apqn) -> bool:
    """True if the host hands ``apqn`` on to the guest of ``mdev``."""
    return all(verdict.passes for verdict in verdicts(state, mdev, apqn))
