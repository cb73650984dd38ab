"""The AP driver of vfio_ap: queues come and go (MTX-90, MTX-91)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from apmatrix.arch import Configuration, Mask, Matrix
from apmatrix.linux.ap.ap_queue import ApQueue
from apmatrix.linux.ap.driver import ApBusDriver
from apmatrix.linux.core import AttributeGroup, Device
from apmatrix.linux.vfio_ap import hostconfig
from apmatrix.linux.vfio_ap.vfio_queue import VfioQueue

if TYPE_CHECKING:
    from apmatrix.linux.core.attributes import AnyGroup
    from apmatrix.linux.vfio_ap.module import VfioAp

VFIO_QUEUE: AttributeGroup[ApQueue] = AttributeGroup()


@VFIO_QUEUE.show()
def status(queue: ApQueue) -> str:
    """``unassigned``, ``assigned`` or ``in use`` (DEV-13)."""
    driver = queue.driver
    return driver.module.status_of(queue.apqn) if isinstance(driver, VfioApDriver) else ""


class VfioApDriver(ApBusDriver):
    """Takes the queues that the masks leave to others."""

    __slots__ = ("module",)

    DEFAULT: ClassVar[bool] = False
    DEVICE_GROUPS: ClassVar[tuple[AnyGroup, ...]] = (VFIO_QUEUE,)
    MODULE = "vfio_ap"

    def __init__(self, module: VfioAp) -> None:
        super().__init__(module.bus, "vfio_ap")
        self.module = module

    def matches(self, device: Device) -> bool:
        """True for queues: on this bus all are of types CEX4 to CEX8."""
        return isinstance(device, ApQueue)

    def probe(self, device: ApQueue) -> None:
        """Link a queue that is bound, and give its adapter to the guest if nothing is missing now (MTX-90)."""
        module = self.module
        with module.guests_lock, module.mdevs_lock:
            queue = VfioQueue(device.port)
            module.queues[device.apqn] = queue
            module.policy.bound(queue)
            mdev = module.claims.owner(device.apqn)
            if mdev is None:
                return
            module.link(mdev, queue)
            if not (mdev.pending.apm or mdev.pending.aqm):
                module.refilter(mdev)

    def remove(self, device: ApQueue) -> None:
        """Unlink a queue that is unbound: its guest loses the adapter, the assignment stays (MTX-91)."""
        module = self.module
        with module.guests_lock, module.mdevs_lock:
            queue = module.queues.pop(device.apqn)
            mdev = queue.mdev
            adapter = device.apqn.adapter
            if mdev is not None and device.apqn in mdev.guest:
                mdev.guest = replace(mdev.guest, apm=mdev.guest.apm - Mask.of(adapter))
                module.update_guest(mdev)
                module.reset(mdev.linked(Matrix(Mask.of(adapter), mdev.guest.aqm)))
            elif device.apqn in module.info.matrix:
                module.reset([queue])
            else:
                queue.release_interrupt()
            if mdev is not None:
                mdev.queues.pop(device.apqn, None)
                queue.mdev = None

    def in_use(self, wanted: Matrix) -> None:
        """Refuse to give the host a queue of an mdev (BUS-34)."""
        self.module.check_not_in_use(wanted)

    def on_config_changed(self, new: Configuration, old: Configuration) -> None:
        """Follow the host configuration (CFG-1)."""
        del old
        hostconfig.changed(self.module, new)

    def on_scan_complete(self, new: Configuration, old: Configuration) -> None:
        """Give guests what the scan found (CFG-4)."""
        del new, old
        hostconfig.settled(self.module)
