"""Numbers that things get, the lowest free one first, as from the kernel's ida."""

from __future__ import annotations

import heapq


class LowestFree:
    """Gives out numbers from 0."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._next = 0

    def take(self) -> int:
        """The lowest number that is free."""
        if self._free:
            return heapq.heappop(self._free)
        self._next += 1
        return self._next - 1

    def give_back(self, number: int) -> None:
        """Free a number that was taken."""
        heapq.heappush(self._free, number)
