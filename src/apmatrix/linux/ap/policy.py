"""The decisions on the AP bus where a better system may differ from Linux."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apmatrix.arch import ALL_BITS

if TYPE_CHECKING:
    from apmatrix.arch import Mask
    from apmatrix.linux.ap.ap_queue import ApQueue
    from apmatrix.linux.ap.bus import ApBus


class BusPolicy:
    """What the bus asks a policy; the answers here are Linux's own: the checks pass, the quirks stay."""

    explains: ClassVar[bool] = False
    """Whether the attribute ``masks`` exists beside the kernel's own."""

    def check_unbind(self, queue: ApQueue) -> None:
        """Called before an unbind by hand."""

    def check_override(self, queue: ApQueue, driver: str | None) -> None:
        """Called before a driver_override is set or cleared."""

    def check_mask_text(self, name: str, text: str) -> None:
        """Called before a mask write is parsed."""

    def considered(self, other_mask: Mask) -> Mask:
        """Which bits of the other mask count when a mask write checks that what it reserves is unused (BUS-34)."""
        del other_mask
        return ALL_BITS

    def resets_new_queue(self, queue: ApQueue) -> bool:
        """Whether the bus starts its own reset on a new queue, whatever driver got it (BUS-77)."""
        del queue
        return True

    def queue_removed(self, queue: ApQueue) -> None:
        """Called after a queue is removed; the count of driver_overrides keeps it (BUS-63)."""

    def scanned(self, bus: ApBus) -> None:
        """Called at the end of every scan."""
