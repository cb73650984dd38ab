"""Event counters between the kernel and a program, as eventfd(2) makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class EventFd:
    """An event counter; ``action``, if given, is called with every signal."""

    def __init__(self, action: Callable[[], None] | None = None) -> None:
        self.count = 0
        self._action = action

    def signal(self) -> None:
        """Add one to the counter."""
        self.count += 1
        if self._action:
            self._action()
