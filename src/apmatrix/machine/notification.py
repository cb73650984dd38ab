"""How a queue notifies a level that a reply is waiting (hardware.md 1.8)."""

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

    Two notifications are equal if their level, byte and ISC are the same.
    """

    level: Level
    address: int
    isc: int
    setter: Callable[[], None] = field(compare=False)

    def post(self) -> None:
        """Set the byte first, then raise the interruption: Linux clears the byte and then looks (pitfall 14)."""
        self.setter()
        if self.level.interrupt:
            self.level.interrupt(self.isc)
