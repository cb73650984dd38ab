"""Each queue has at most one holder: LPARs share none, nor do the mdevs of a host (hardware.md 7.2, MTX-21b).

A claim is a matrix. Two claims conflict in the APQNs that are in both, again a product of adapters and domains.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Generic, TypeVar

from apmatrix.arch import EMPTY_MATRIX, NO_BITS, Apqn, Mask, Matrix

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

H = TypeVar("H", bound="Hashable")


@dataclass(frozen=True, slots=True)
class Conflict(Generic[H]):
    """What a claim shares with the claim of ``holder``; ``shared`` has no control domains."""

    holder: H
    shared: Matrix

    @property
    def apqns(self) -> tuple[Apqn, ...]:
        """The APQNs that both claim, in ascending order."""
        return tuple(self.shared.apqns())


def conflicts(wanted: Matrix, others: Iterable[tuple[H, Matrix]]) -> list[Conflict[H]]:
    """The conflicts of ``wanted`` with the claims of ``others``, in their order."""
    return [Conflict(holder, held.shared(wanted)) for holder, held in others if held.shares_queues(wanted)]


class Claims(Generic[H]):
    """The claims of many holders, indexed by adapter.

    Claims that conflict are kept too, so that each conflict can be named. The cost of adding a claim depends on its
    number of adapters; the cost of asking for conflicts also on the holders of those adapters that are shared.
    """

    def __init__(self) -> None:
        self._held: dict[H, Matrix] = {}
        self._rows: dict[int, dict[H, Mask]] = {}  # adapter -> domains of each holder
        self._taken: dict[int, Mask] = {}  # adapter -> domains of all holders

    def set(self, holder: H, matrix: Matrix) -> None:
        """Let ``holder`` claim ``matrix``, instead of what it claimed before."""
        before = self._held.get(holder, EMPTY_MATRIX)
        self._held[holder] = matrix
        kept = matrix.apm if matrix.aqm else NO_BITS
        for adapter in (before.apm if before.aqm else NO_BITS) - kept:
            del self._rows[adapter][holder]
            self._count(adapter)
        grown = before.aqm <= matrix.aqm
        for adapter in kept:
            row = self._rows.setdefault(adapter, {})
            row[holder] = matrix.aqm
            if grown:
                self._taken[adapter] = self._taken.get(adapter, NO_BITS) | matrix.aqm
            else:
                self._count(adapter)

    def _count(self, adapter: int) -> None:
        self._taken[adapter] = reduce(or_, self._rows[adapter].values(), NO_BITS)

    def drop(self, holder: H) -> None:
        """Forget a holder and its claim."""
        self.set(holder, EMPTY_MATRIX)
        del self._held[holder]

    def of(self, holder: H) -> Matrix:
        """What ``holder`` claims; nothing if it is not known."""
        return self._held.get(holder, EMPTY_MATRIX)

    def owner(self, apqn: Apqn) -> H | None:
        """The holder that claims a queue, the first of several; None if there is none."""
        adapter, domain = apqn
        if domain not in self._taken.get(adapter, NO_BITS):
            return None
        return next(holder for holder, domains in self._rows[adapter].items() if domain in domains)

    def conflicts(self, wanted: Matrix, holder: H | None = None) -> list[Conflict[H]]:
        """The conflicts of ``wanted`` with the claims of all but ``holder``, in the order of those holders."""
        candidates: dict[H, None] = {}
        for adapter in wanted.apm:
            if self._taken.get(adapter, NO_BITS).overlaps(wanted.aqm):
                row = self._rows[adapter].items()
                candidates.update((other, None) for other, domains in row if domains.overlaps(wanted.aqm))
        candidates.pop(holder, None)  # type: ignore[arg-type]  # None holds no claim
        if not candidates:
            return []
        order = (other for other in self._held if other in candidates) if len(candidates) > 1 else candidates
        return conflicts(wanted, ((other, self._held[other]) for other in order))

    def items(self) -> Iterator[tuple[H, Matrix]]:
        """Every holder and what it claims, in the order in which they were added."""
        yield from self._held.items()
