"""What vfio_ap keeps for each queue that is bound to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apmatrix.arch import ResponseCode
from apmatrix.rules.handover import PASSABLE

if TYPE_CHECKING:
    from collections.abc import Hashable

    from apmatrix.arch import Apqn
    from apmatrix.linux.vfio_ap.mdev import MatrixMdev
    from apmatrix.machine import Port


@dataclass(slots=True, eq=False)
class VfioQueue:
    """A queue bound to vfio_ap.

    ``mdev`` is the mdev that it is linked to, ``reset_code`` how its last reset ended, ``interrupt`` what the guest
    registered with AQIC.
    """

    port: Port
    mdev: MatrixMdev | None = None
    reset_code: ResponseCode = ResponseCode.NORMAL
    interrupt: Hashable | None = None

    @property
    def apqn(self) -> Apqn:
        """The queue's address."""
        return self.port.apqn

    @property
    def passable(self) -> bool:
        """True if the queue may be given to a guest."""
        return self.reset_code in PASSABLE

    def release_interrupt(self) -> None:
        """Forget the guest's indicator and interruption subclass (MTX-72)."""
        self.interrupt = None
