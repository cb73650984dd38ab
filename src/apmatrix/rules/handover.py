"""What a guest gets of its assignment: vfio_ap's filter (MTX-50 to MTX-52), the AND of the levels (KVM-40)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Final

from apmatrix.arch import FULL_MATRIX, NO_BITS, Apqn, Mask, Matrix, ResponseCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PASSABLE: Final = frozenset((ResponseCode.NORMAL, ResponseCode.DECONFIGURED, ResponseCode.CHECKSTOPPED))
"""Response codes of a queue's last reset with which a guest may have it (MTX-51)."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """The queue that keeps a whole adapter from a guest: not bound to vfio_ap, or its last reset ended badly.

    ``reset_code`` is the response code of that reset, None if the queue is not bound.
    """

    apqn: Apqn
    reset_code: ResponseCode | None = None

    def __str__(self) -> str:
        if self.reset_code is None:
            return f"{self.apqn} is not bound to vfio_ap"
        return f"the last reset of {self.apqn} ended with response code {self.reset_code:02x}"


ResetCode = Callable[[Apqn], ResponseCode | None]
"""How the last reset of a queue ended; None for a queue that is not bound to vfio_ap."""


def in_the_way(adapter: int, domains: Mask, reset_code: ResetCode) -> Iterator[Obstacle]:
    """Everything that keeps a guest with ``domains`` from getting ``adapter``, in ascending order (MTX-50)."""
    for domain in domains:
        apqn = Apqn(adapter, domain)
        code = reset_code(apqn)
        if code not in PASSABLE:
            yield Obstacle(apqn, code)


def obstacles(assigned: Matrix, host: Matrix, reset_code: ResetCode) -> dict[int, Obstacle]:
    """The adapters that the host has and a guest with ``assigned`` does not get, each with the first obstacle."""
    possible = assigned & host
    found = ((adapter, next(in_the_way(adapter, possible.aqm, reset_code), None)) for adapter in possible.apm)
    return {adapter: obstacle for adapter, obstacle in found if obstacle}


def usable(assigned: Matrix, host: Matrix, blocked: Mask) -> Matrix:
    """The adapters and usage domains of a guest, without the ``blocked`` adapters; no control domains (MTX-50)."""
    possible = assigned & host
    return Matrix(possible.apm - blocked, possible.aqm, NO_BITS)


def controllable(assigned: Matrix, host: Matrix) -> Mask:
    """The control domains of a guest (MTX-52)."""
    return assigned.adm & host.adm


def effective(levels: Iterable[Matrix]) -> Matrix:
    """What is left of the masks of all levels from the LPAR down, mask by mask (KVM-40)."""
    return reduce(and_, levels, FULL_MATRIX)
