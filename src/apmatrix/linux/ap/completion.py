"""The "bindings complete" event (BUS-81)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apmatrix.linux.ap.bus import ApBus


class Completion:
    """Sends a uevent once every queue has a driver; every probe arms it again.

    ``bound`` is the number of queues with a driver, ``count`` how often the event was sent.
    """

    def __init__(self, bus: ApBus) -> None:
        self._bus = bus
        self._armed = True
        self.bound = 0
        self.count = 0

    @property
    def complete(self) -> bool:
        """True if at least one scan is done and every queue is bound."""
        return self._bus.scanner.count > 0 and self.bound == len(self._bus.queues)

    def arm(self) -> None:
        """Arm the event again: a device was probed, or adapters or domains appeared."""
        self._armed = True

    def check(self) -> None:
        """Send the event if it is due; called after a scan and when a driver registers."""
        if self._armed and self.complete:
            self._armed = False
            self.count += 1
            self._bus.root.uevent("change", ("BINDINGS", "complete"), ("COMPLETECOUNT", str(self.count)))
