"""The decisions in vfio_ap where a better system may differ from Linux."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apmatrix.arch import Apqn, Mask, Matrix
    from apmatrix.linux.vfio_ap.mdev import MatrixMdev
    from apmatrix.linux.vfio_ap.module import VfioAp
    from apmatrix.linux.vfio_ap.vfio_queue import VfioQueue
    from apmatrix.rules.claims import Conflict
    from apmatrix.rules.handover import Obstacle


class VfioPolicy:
    """What vfio_ap asks a policy; the answers here are Linux's own: the checks pass, the quirks stay."""

    explains: ClassVar[bool] = False
    """Whether attributes beside the kernel's own show what is otherwise hidden."""

    longest_matrix: ClassVar[int | None] = 4095
    """Most bytes that reading a matrix gives (MTX-41); None: all."""

    # what the host has

    def host_matrix(self, module: VfioAp) -> Matrix:
        """What the host can give to guests (MTX-3)."""
        return module.info.matrix

    # assignments

    def check_assignment(self, mdev: MatrixMdev, new: Matrix) -> None:
        """Called before a valid new matrix is given to an mdev."""

    def check_ap_config_text(self, text: str) -> None:
        """Called before an ap_config write is parsed."""

    def reported(self, conflicts: list[Conflict[MatrixMdev]]) -> list[Conflict[MatrixMdev]]:
        """Which conflicts with other mdevs go to the kernel log: those with the first mdev (BUS-35)."""
        return conflicts[:1]

    def host_queues_refused(self, mdev: MatrixMdev, apqns: Sequence[Apqn]) -> None:
        """Called after an assignment was refused because the APQNs are the host's."""

    def replace_matrix(self, mdev: MatrixMdev, new: Matrix) -> bool:
        """Apply a valid ap_config, if the policy has a way of its own; Linux applies it in steps (MTX-48)."""
        del mdev, new
        return False

    def unassigned(self, mdev: MatrixMdev) -> None:
        """Called after an adapter or usage domain was unassigned; what becomes usable does not return (MTX-31)."""

    def control_domains_assigned(self, mdev: MatrixMdev, domains: Mask) -> None:
        """Called after control domains were assigned."""

    def filtered(self, mdev: MatrixMdev, obstacles: dict[int, Obstacle]) -> None:
        """Called after a filter left adapters out, each with the first obstacle."""

    # guests

    def check_open(self, mdev: MatrixMdev, limits: Matrix) -> None:
        """Called before a VM whose control block has room for ``limits`` gets an mdev."""

    def closed(self, mdev: MatrixMdev) -> None:
        """Called after a VM gave an mdev back; the event fds stay (VFIO-4)."""

    def check_remove(self, mdev: MatrixMdev) -> None:
        """Called before an mdev is removed."""

    def interrupt_queue(self, mdev: MatrixMdev, apqn: Apqn) -> VfioQueue | None:
        """The queue that a guest's AQIC is for: a linked one, whether the guest has it or not (KVM-33)."""
        return mdev.queues.get(apqn)

    # resets

    def bound(self, queue: VfioQueue) -> None:
        """Called when a queue is bound, before a guest can get it; how its resets ended before is forgotten."""

    def gives_up(self, waiting: Sequence[VfioQueue], waited: float) -> bool:
        """Whether to stop waiting for queues in reset after ``waited`` seconds; Linux waits forever (MTX-70)."""
        del waiting, waited
        return False

    def reset_ended(self, queue: VfioQueue) -> None:
        """Called after a queue was reset for a guest, successfully or not."""
