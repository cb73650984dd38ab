"""vfio_ap: the module, its devices and what all mdevs share (host.md 3.1, 3.3, 3.10, 3.11)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from apmatrix.arch import Apqn, Configuration, Mask, Matrix, ResponseCode
from apmatrix.arch.matrix import queues_named
from apmatrix.linux.core import Bus, Device, Driver, KObject, Link, Mutex
from apmatrix.linux.core.objects import DRIVER
from apmatrix.linux.vfio_ap.attributes import ASSIGNMENT, MATRIX_DEVICE, MDEV_TYPE, ROOT_DEVICE
from apmatrix.linux.vfio_ap.driver import VfioApDriver
from apmatrix.linux.vfio_ap.lifecycle import Lifecycle
from apmatrix.linux.vfio_ap.reset import reset_queues
from apmatrix.rules import handover, limits
from apmatrix.rules.claims import Claims
from apmatrix.rules.findings import Holder
from apmatrix.rules.refusals import InUse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.linux.ap.bus import ApBus
    from apmatrix.linux.core import Host
    from apmatrix.linux.core.attributes import AnyGroup
    from apmatrix.linux.vfio_ap.mdev import MatrixMdev
    from apmatrix.linux.vfio_ap.policy import VfioPolicy
    from apmatrix.linux.vfio_ap.vfio_queue import VfioQueue
    from apmatrix.rules.claims import Conflict
    from apmatrix.rules.handover import Obstacle

TYPE_NAME = "vfio_ap-passthrough"


class VfioApRoot(KObject):
    """``/sys/devices/vfio_ap``: a device without bus and class, of which the kernel sends no uevents."""

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (ROOT_DEVICE,)

    def __init__(self, host: Host) -> None:
        super().__init__(host.sysfs, "devices", "vfio_ap")
        self.host = host


class MatrixDevice(Device):
    """``/sys/devices/vfio_ap/matrix``: the parent of all mdevs."""

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (*Device.GROUPS, MATRIX_DEVICE)


class MdevType(KObject):
    """``mdev_supported_types/vfio_ap-passthrough``: the only type, with the file that creates mdevs."""

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (MDEV_TYPE,)

    def __init__(self, module: VfioAp, parent_path: str) -> None:
        super().__init__(module.host.sysfs, parent_path, TYPE_NAME)
        self.module = module


class MatrixDriver(Driver[Any]):
    """``/sys/bus/matrix/drivers/vfio_ap``: it cannot be unbound by hand (MTX-1)."""

    __slots__ = ()

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (DRIVER,)


class MdevDriver(Driver[Any]):
    """``/sys/bus/mdev/drivers/vfio_ap_mdev``: what gives mdevs their attributes."""

    __slots__ = ("_lifecycle",)

    DEVICE_GROUPS: ClassVar[tuple[AnyGroup, ...]] = (ASSIGNMENT,)
    MODULE = "vfio_ap"

    def __init__(self, bus: Bus, lifecycle: Lifecycle) -> None:
        super().__init__(bus, "vfio_ap_mdev")
        self._lifecycle = lifecycle

    def matches(self, device: Device) -> bool:  # noqa: ARG002 - none matches
        """False: the driver gets each mdev when it is created, and never again (MTX-14)."""
        return False

    def probe(self, device: MatrixMdev) -> None:
        """Register the mdev with VFIO."""
        self._lifecycle.vfio.register(device)

    def remove(self, device: MatrixMdev) -> None:
        """Clear the assignment of an mdev that is unbound, as of one that is removed."""
        self._lifecycle.let_go(device)


class VfioAp:
    """The loaded module.

    ``info`` is its copy of the host configuration, ``queues`` those bound to it, ``claims`` what is assigned to each
    mdev. Locks: host.md MTX-5.
    """

    def __init__(self, host: Host, bus: ApBus, policy: VfioPolicy) -> None:
        self.host = host
        self.bus = bus
        self.policy = policy
        self.guests_lock = Mutex(host.kernel, "the guests lock")
        self.mdevs_lock = Mutex(host.kernel, "the mdevs lock")
        self.info: Configuration = self.bus.fetch_info()
        self.queues: dict[Apqn, VfioQueue] = {}
        self.claims: Claims[MatrixMdev] = Claims()
        self.lifecycle = Lifecycle(self)
        self._make_devices()
        self.driver = VfioApDriver(self)
        self.bus.add_driver(self.driver)

    def _make_devices(self) -> None:
        host = self.host
        self.matrix_bus = Bus(host.sysfs, host.uevents, "matrix")
        self.mdev_bus = Bus(host.sysfs, host.uevents, "mdev")
        self.matrix_bus.add_driver(MatrixDriver(self.matrix_bus, "vfio_ap"))
        self.mdev_driver = MdevDriver(self.mdev_bus, self.lifecycle)
        self.mdev_bus.add_driver(self.mdev_driver)
        self.root_device = VfioApRoot(host)
        host.sysfs.place("devices", self.root_device.name, self.root_device)
        self.matrix_device = MatrixDevice(self.matrix_bus, self.root_device.path, "matrix")
        self.matrix_bus.add_device(self.matrix_device, self.root_device)
        types = KObject(host.sysfs, self.matrix_device.path, "mdev_supported_types")
        self.mdev_type = MdevType(self, types.path)
        self.type_devices = KObject(host.sysfs, self.mdev_type.path, "devices")
        self.matrix_device.add_child("mdev_supported_types", types)
        types.add_child(TYPE_NAME, self.mdev_type)
        self.mdev_type.add_child("devices", self.type_devices)
        host.sysfs.place("class/mdev_bus", "matrix", Link(self.matrix_device.path))
        self.matrix_device.uevent("change", (("MDEV_STATE", "registered"),))

    def unload(self) -> None:
        """Remove the module: idle mdevs go, queues stay unbound; Refused (EAGAIN) while one is open (MTX-93)."""
        self.lifecycle.check_idle()
        for mdev in tuple(self.lifecycle.mdevs.values()):
            self.lifecycle.remove(mdev)
        self.bus.remove_driver(self.driver)
        self.matrix_device.uevent("change", (("MDEV_STATE", "unregistered"),))
        self.matrix_bus.remove_device(self.matrix_device, self.root_device)
        for directory, name in (("class", "mdev_bus"), ("devices", "vfio_ap"), ("bus", "matrix"), ("bus", "mdev")):
            self.host.sysfs.drop(directory, name)

    def limits(self) -> Matrix:
        """The highest numbers that an mdev may be assigned, as masks (MTX-4)."""
        return limits.of_mdev(self.info)

    # claims

    def newest_first(self) -> list[MatrixMdev]:
        """The mdevs in the order in which the driver goes through them."""
        return list(reversed(self.lifecycle.mdevs.values()))

    def conflicts(self, mdev: MatrixMdev, new: Matrix) -> list[Conflict[MatrixMdev]]:
        """What ``new`` would share with other mdevs, the newest mdev first (MTX-21b)."""
        return sorted(self.claims.conflicts(new, mdev), key=lambda conflict: -conflict.holder.sequence)

    def check_not_in_use(self, wanted: Matrix) -> None:
        """Raise InUse if an mdev has an APQN of ``wanted``, regardless of masks and guests (BUS-34, BUS-35)."""
        with self.guests_lock, self.mdevs_lock:
            conflicts = sorted(self.claims.conflicts(wanted), key=lambda conflict: -conflict.holder.sequence)
            if not conflicts:
                return
            for conflict in self.policy.reported(conflicts):
                for apqn in conflict.apqns:
                    self.host.log.warning(
                        f"{conflict.holder.log_prefix()}Can not reserve queue {apqn} for host driver: in use by mdev"
                    )
            first = conflicts[0]
            raise InUse(
                f"{queues_named(first.apqns)} cannot be reserved for the host: mdev {first.holder.name} has "
                f"{'it' if len(first.apqns) == 1 else 'them'}",
                apqns=first.apqns,
                holder=Holder("mdev", uuid=first.holder.name),
                remedy="unassign it there first",
            )

    def set_matrix(self, mdev: MatrixMdev, new: Matrix) -> None:
        """Give ``mdev`` a new matrix; queues that are bound to vfio_ap are linked to it."""
        for apqn in new.queues_beyond(mdev.matrix):
            if apqn in self.queues:
                self.link(mdev, self.queues[apqn])
        self.claims.set(mdev, new)
        mdev.assign(new)

    def link(self, mdev: MatrixMdev, queue: VfioQueue) -> None:
        """Connect a bound queue with the mdev that its APQN is assigned to."""
        queue.mdev = mdev
        mdev.queues[queue.apqn] = queue

    # the guest matrix

    def filter(self, mdev: MatrixMdev) -> tuple[bool, Mask]:
        """Compute the guest's adapters and usage domains (MTX-50).

        Returns whether they changed, and the adapters that the guest had and lost.
        """
        before = mdev.guest
        obstacles = self.obstacles(mdev.matrix)
        self.policy.filtered(mdev, obstacles)
        mdev.obstacles = obstacles
        lost = Mask.of(*obstacles)
        mdev.guest = replace(handover.usable(mdev.matrix, self.host_matrix, lost), adm=before.adm)
        return mdev.guest != before, lost & before.apm

    @property
    def host_matrix(self) -> Matrix:
        """What the host can give to guests."""
        return self.policy.host_matrix(self)

    def obstacles(self, matrix: Matrix) -> dict[int, Obstacle]:
        """The adapters of ``matrix`` that a guest with it could not have, each with the first obstacle (MTX-50)."""
        return handover.obstacles(matrix, self.host_matrix, self._reset_code)

    def _reset_code(self, apqn: Apqn) -> ResponseCode | None:
        queue = self.queues.get(apqn)
        return None if queue is None else queue.reset_code

    def filter_control_domains(self, mdev: MatrixMdev) -> bool:
        """Compute the guest's control domains (MTX-52); True if they changed."""
        domains = handover.controllable(mdev.matrix, self.host_matrix)
        changed = domains != mdev.guest.adm
        mdev.guest = replace(mdev.guest, adm=domains)
        return changed

    def refilter(self, mdev: MatrixMdev) -> None:
        """Filter, update the guest if something changed, and reset what it lost (MTX-20)."""
        changed, lost = self.filter(mdev)
        if changed:
            self.update_guest(mdev)
            self.reset_adapters(mdev, lost)

    def update_guest(self, mdev: MatrixMdev) -> None:
        """Write the guest's control block, then signal the event, if a VM has the mdev (MTX-60)."""
        if mdev.vm is None:
            return
        mdev.vm.level.set_matrix(mdev.guest)
        if mdev.config_event:
            mdev.config_event.signal()

    def reset_adapters(self, mdev: MatrixMdev, adapters: Mask) -> None:
        """Reset the linked queues of adapters that the guest lost."""
        reset_queues(self.host, self.policy, mdev.linked(Matrix(adapters, mdev.guest.aqm)))

    def reset(self, queues: Iterable[VfioQueue]) -> bool:
        """Reset queues; False if one of them could not be reset."""
        return reset_queues(self.host, self.policy, queues)

    def status_of(self, apqn: Apqn) -> str:
        """The content of a queue's ``status`` (DEV-13)."""
        with self.mdevs_lock:
            mdev = self.claims.owner(apqn)
            if mdev is None:
                return "unassigned\n"
            return "in use\n" if mdev.vm is not None and apqn in mdev.guest else "assigned\n"
