"""Where a better system may decide otherwise than Linux.

Faithful code asks its system's policy at these places and nowhere else. :class:`LinuxPolicy` lets everything pass:
it is Linux 7.2, quirks included. :mod:`apmatrix.linux.protective` has the other answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apmatrix.arch import ALL_BITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apmatrix.arch import Apqn, Configuration, Mask, Matrix
    from apmatrix.linux.ap.queue import ApQueue
    from apmatrix.linux.system import LinuxSystem
    from apmatrix.linux.vfio_ap.mdev import MatrixMdev
    from apmatrix.linux.vfio_ap.queue import VfioQueue
    from apmatrix.rules.handover import Obstacle


class LinuxPolicy:
    """Linux as it is: the checks pass, the quirks stay."""

    name: ClassVar[str] = "linux"

    explains: ClassVar[bool] = False
    """Attributes beyond the kernel's own tell what is otherwise hidden."""

    forgets_overrides: ClassVar[bool] = False
    """The count of driver_overrides shrinks when an overridden queue disappears (against BUS-63)."""

    refilters: ClassVar[bool] = False
    """An adapter that can be used again returns to its guest by itself (against MTX-31, CFG-2)."""

    atomic_configuration: ClassVar[bool] = False
    """A running guest sees an ap_config write as one change (against MTX-48)."""

    blames_everyone: ClassVar[bool] = False
    """All conflicts with all mdevs are reported, not just the first mdev's (against BUS-35)."""

    longest_matrix: ClassVar[int | None] = 4095
    """Most bytes that reading a matrix gives (MTX-41); None: all."""

    forgets_event_fds: ClassVar[bool] = False
    """Event fds go when the device is closed (against VFIO-4)."""

    hides_filtered_queues: ClassVar[bool] = False
    """AQIC of a filtered queue is refused (against KVM-33)."""

    truthful_status: ClassVar[bool] = False
    """AQIC without vfio-ap device stores its status where the guest looks (against KVM-31)."""

    reset_patience: ClassVar[float | None] = None
    """Seconds that a reset may take before it is given up; None: for ever (MTX-70)."""

    def __init__(self, system: LinuxSystem) -> None:
        self.system = system

    # the bus

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

    def scanned(self) -> None:
        """At the end of every scan."""

    # vfio_ap

    def host_matrix(self, info: Configuration) -> Matrix:
        """What the host can give to guests (MTX-3)."""
        return info.matrix

    def check_assignment(self, mdev: MatrixMdev, new: Matrix) -> None:
        """Before a valid new matrix is given to an mdev."""

    def check_ap_config_text(self, text: str) -> None:
        """Before an ap_config write is parsed."""

    def check_remove(self, mdev: MatrixMdev) -> None:
        """Before an mdev is removed."""

    def check_open(self, mdev: MatrixMdev, limits: Matrix) -> None:
        """Before a VM whose control block has room for ``limits`` gets an mdev."""

    def host_queues_refused(self, mdev: MatrixMdev, apqns: Sequence[Apqn]) -> None:
        """After an assignment was refused because the APQNs are the host's."""

    def filtered(self, mdev: MatrixMdev, obstacles: dict[int, Obstacle]) -> None:
        """After a filter left adapters out, each with its obstacle."""

    def control_domains_assigned(self, mdev: MatrixMdev, domains: Mask) -> None:
        """After control domains were assigned."""

    def reset_ended(self, queue: VfioQueue) -> None:
        """After a queue was reset for a guest, well or not."""
