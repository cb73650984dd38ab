"""Where a better system may decide otherwise than Linux on the AP bus."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apmatrix.arch import ALL_BITS

if TYPE_CHECKING:
    from apmatrix.arch import Mask
    from apmatrix.linux.ap.ap_queue import ApQueue
    from apmatrix.linux.ap.bus import ApBus


class BusPolicy:
    """What the bus asks; the answers here are Linux's own: the checks pass, the quirks stay."""

    explains: ClassVar[bool] = False
    """The attribute ``masks`` is there beside the kernel's own."""

    def check_unbind(self, queue: ApQueue) -> None:
        """Before an unbind by hand."""

    def check_override(self, queue: ApQueue, driver: str | None) -> None:
        """Before a driver_override is set or cleared."""

    def check_mask_text(self, name: str, text: str) -> None:
        """Before a mask write is parsed."""

    def considered(self, other_mask: Mask) -> Mask:
        """Which bits of the other mask count when somebody may hold what a mask write gives to the host (BUS-34)."""
        del other_mask
        return ALL_BITS

    def resets_new_queue(self, queue: ApQueue) -> bool:
        """Whether the bus starts its own reset on a new queue, whatever driver got it (BUS-77)."""
        del queue
        return True

    def queue_removed(self, queue: ApQueue) -> None:
        """After a queue is gone; the count of driver_overrides keeps it (BUS-63)."""

    def scanned(self, bus: ApBus) -> None:
        """At the end of every scan."""
