"""How a queue tells a level that a reply waits (hardware.md 1.8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apmatrix.cards import Indication

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.machine.level import Level


@dataclass(frozen=True, slots=True)
class Notification(Indication):
    """An indicator byte in a level's storage, set by ``setter``, and the interruption of an ISC.

    Equal to another one if level, byte and ISC are the same.
    """

    level: Level
    address: int
    isc: int
    setter: Callable[[], None] = field(compare=False)

    def post(self) -> None:
        """The byte first, then the interruption: Linux clears the byte and then looks (pitfall 14)."""
        self.setter()
        if self.level.interrupt:
            self.level.interrupt(self.isc)
