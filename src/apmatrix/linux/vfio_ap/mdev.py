"""Mediated matrix devices: what an administrator assigns, and what a guest gets (MTX-15)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apmatrix.arch import EMPTY_MATRIX, Apqn, Matrix
from apmatrix.arch.events import MdevChanged
from apmatrix.linux.core import AttributeGroup, Device, Link, Written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from apmatrix.linux.core import EventFd
    from apmatrix.linux.core.attributes import AnyGroup
    from apmatrix.linux.core.sysfs import Node
    from apmatrix.linux.kvm import KvmVm
    from apmatrix.linux.vfio_ap.module import VfioAp
    from apmatrix.linux.vfio_ap.vfio import Registration
    from apmatrix.linux.vfio_ap.vfio_queue import VfioQueue
    from apmatrix.rules.handover import Obstacle

MDEV: AttributeGroup[MatrixMdev] = AttributeGroup()


@MDEV.store("remove")
def remove(mdev: MatrixMdev, value: Written) -> None:
    """Remove the mdev; it waits until no guest has it (MTX-12)."""
    mdev.module.lifecycle.remove_by_write(mdev, value)


class MatrixMdev(Device):
    """A mediated matrix device.

    ``matrix`` is what was assigned, ``guest`` what a guest has or would get, ``queues`` those of the assigned
    APQNs that are bound to vfio_ap, ``pending`` what a scan is about to add, ``limits`` the highest numbers that
    may be assigned, fixed at creation (MTX-4), ``obstacles`` why the last filter left adapters out.
    ``registration`` is its presence in VFIO while the driver has it, ``removing`` is set when a removal begins.
    """

    __slots__ = (
        "config_event",
        "guest",
        "limits",
        "matrix",
        "module",
        "obstacles",
        "opens",
        "pending",
        "queues",
        "registration",
        "removing",
        "request_event",
        "sequence",
        "vm",
    )

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (*Device.GROUPS, MDEV)

    def __init__(self, module: VfioAp, uuid: str, sequence: int) -> None:
        super().__init__(module.mdev_bus, module.matrix_device.path, uuid)
        self.module = module
        self.sequence = sequence
        self.registration: Registration | None = None
        self.limits = module.limits()
        self.matrix = EMPTY_MATRIX
        self.guest = EMPTY_MATRIX
        self.pending = EMPTY_MATRIX
        self.queues: dict[Apqn, VfioQueue] = {}
        self.obstacles: dict[int, Obstacle] = {}
        self.vm: KvmVm | None = None
        self.opens = 0
        self.removing = False
        self.request_event: EventFd | None = None
        self.config_event: EventFd | None = None

    def groups(self) -> Iterable[AnyGroup]:
        """The attributes; none from the moment a removal begins (MTX-12)."""
        return () if self.removing else super().groups()

    def names(self) -> Iterator[str]:
        """The names of the attributes and links."""
        if self.removing:
            yield from self.children or ()
        else:
            yield from (*super().names(), "mdev_type")

    def lookup(self, name: str) -> Node | None:
        """The entry of that name."""
        if self.removing:
            return self.children.get(name) if self.children else None
        if name == "mdev_type":
            return Link(self.module.mdev_type.path)
        return super().lookup(name)

    def assign(self, matrix: Matrix) -> None:
        """Note what is assigned from now on; the observers of the machine are told."""
        self.matrix = matrix
        host = self.module.host
        host.machine.announce(MdevChanged(host.level.path, self.name, matrix.apm, matrix.aqm, matrix.adm))

    def linked(self, matrix: Matrix) -> list[VfioQueue]:
        """The linked queues in ``matrix``, in the order of their APQNs."""
        if len(matrix) < len(self.queues):
            return [self.queues[apqn] for apqn in matrix.apqns() if apqn in self.queues]
        return sorted((queue for apqn, queue in self.queues.items() if apqn in matrix), key=lambda queue: queue.apqn)

    def log_prefix(self) -> str:
        """The prefix of kernel messages about this mdev."""
        return f"vfio_ap_mdev {self.name}: "
