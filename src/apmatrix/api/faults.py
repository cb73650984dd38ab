"""An active fault of a machine's queues or cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from apmatrix.emulation.testbed import Testbed


__tracebackhide__ = True  # pytest shows the caller's line instead


class ActiveFault:
    """A fault that is active until :meth:`remove`, or until the end of a ``with`` block."""

    def __init__(self, testbed: Testbed, number: int, words: str) -> None:
        self.number = number
        self.words = words
        self._testbed = testbed

    @property
    def count(self) -> int:
        """How often it has happened; 0 after its removal."""
        _, count = self._testbed.faults().get(self.number, (None, 0))
        return count

    def remove(self) -> None:
        """End it; nothing happens if it has ended already."""
        if self.number in self._testbed.faults():
            self._testbed.remove_fault(self.number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"<ActiveFault {self.number}: {self.words}>"
