"""One administrator at a time: whoever changes the master keys of a domain keeps the others waiting."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.arch import Apqn


class Turns:
    """The turns of the administrators of a machine, for each domain of each card.

    They keep apart commands that belong together, such as those that load the parts of a key. Programs that send
    their own commands through a queue need no turn, as on a real machine.
    """

    def __init__(self) -> None:
        self._locks: dict[Apqn, threading.RLock] = {}

    @contextmanager
    def take(self, apqn: Apqn) -> Iterator[None]:
        """Wait for the turn of a domain, and have it for the block; a thread that has it can take it again."""
        with self._locks.setdefault(apqn, threading.RLock()):
            yield
