"""Who owns a queue of a Linux: the host's own drivers or vfio_ap (BUS-20, BUS-34, BUS-40, BUS-42, BUS-60, BUS-66).

``apmask`` and ``aqmask`` decide, unless the queue has a driver_override.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from apmatrix.arch import ALL_BITS, Apqn, Mask, Matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HOST_DRIVER: Final = "cex4queue"
"""The host's own driver of queues."""

GUEST_DRIVER: Final = "vfio_ap"
"""The driver of queues that guests may get."""


class Masks(NamedTuple):
    """``apmask`` and ``aqmask``: a queue whose bit is 1 in both is the host's."""

    apmask: Mask
    aqmask: Mask

    def reserve(self, apqn: Apqn) -> bool:
        """True if the masks give the queue to the host's own drivers (BUS-20)."""
        return apqn[0] in self.apmask and apqn[1] in self.aqmask


ALL_RESERVED: Final = Masks(ALL_BITS, ALL_BITS)
"""The masks of a Linux that was booted without parameters: every queue is the host's."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """What decides who owns the queues of a Linux.

    ``overridden`` has each bound queue with a driver_override: True if its driver is one of the host's own.
    """

    masks: Masks
    overridden: Mapping[Apqn, bool] = field(default_factory=dict)

    def is_hosts(self, apqn: Apqn) -> bool:
        """True if the queue is the host's, so that it cannot be assigned to an mdev (BUS-66)."""
        override = self.overridden.get(apqn)
        return self.masks.reserve(apqn) if override is None else override

    def host_queues(self, matrix: Matrix) -> tuple[Apqn, ...]:
        """The APQNs of ``matrix`` that are the host's, in ascending order (MTX-21a)."""
        masked = Matrix(matrix.apm & self.masks.apmask, matrix.aqm & self.masks.aqmask)
        hosts = [apqn for apqn in masked.apqns() if self.overridden.get(apqn, True)]
        hosts += [apqn for apqn, host in self.overridden.items() if host and apqn in matrix and apqn not in masked]
        return tuple(sorted(hosts))


class BindObstacle(Enum):
    """Why a driver cannot have a queue."""

    OVERRIDE = "driver_override names another driver"
    RESERVED = "the masks give the queue to the host's drivers"
    NOT_RESERVED = "the masks give the queue to other drivers"


def bind_obstacle(driver: str, *, default: bool, override: str | None, reserved: bool) -> BindObstacle | None:
    """Why ``driver``, one of the host's own if ``default``, cannot bind a queue; None if it can (BUS-42)."""
    if override:
        return None if override == driver else BindObstacle.OVERRIDE
    if reserved == default:
        return None
    return BindObstacle.RESERVED if reserved else BindObstacle.NOT_RESERVED


def settled(driver: str | None, *, default: bool, override: str | None, reserved: bool) -> bool:
    """True if a change of the masks leaves a queue with the driver that it has (BUS-40).

    A queue without a driver counts as the host's, as recorded on a real kernel.
    """
    if override:
        return driver == override
    return reserved == (driver is None or default)


def _every(_mask: Mask) -> Mask:
    return ALL_BITS


def newly_reserved(before: Masks, after: Masks, considered: Callable[[Mask], Mask] = _every) -> Iterator[Matrix]:
    """The queues that no mdev may have when the masks change (BUS-34): one matrix for each mask that grows.

    Linux asks for an added adapter with every domain and an added domain with every adapter, whatever the other mask
    says; ``considered`` may narrow that to the bits of the other mask that count.
    """
    if adapters := after.apmask - before.apmask:
        yield Matrix(adapters, considered(after.aqmask))
    if domains := after.aqmask - before.aqmask:
        yield Matrix(considered(after.apmask), domains)
