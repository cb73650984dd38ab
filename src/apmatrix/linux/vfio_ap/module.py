"""vfio_ap: the module, its devices and what belongs to all mdevs together (host.md 3.1, 3.3, 3.10, 3.11)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from apmatrix.arch import Apqn, Configuration, Mask, Matrix
from apmatrix.arch.matrix import queues_named
from apmatrix.linux.core import Bus, Device, Driver, KObject, Link, Mutex
from apmatrix.linux.core.objects import DRIVER
from apmatrix.linux.vfio_ap.assignment import Assignment
from apmatrix.linux.vfio_ap.attributes import ASSIGNMENT, MATRIX_DEVICE, MDEV_TYPE
from apmatrix.linux.vfio_ap.driver import VfioApDriver
from apmatrix.linux.vfio_ap.hostconfig import HostConfiguration
from apmatrix.linux.vfio_ap.lifecycle import Lifecycle
from apmatrix.linux.vfio_ap.reset import reset_queues
from apmatrix.rules.refusals import InUse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.linux.ap.bus import ApBus
    from apmatrix.linux.core.attributes import AnyGroup
    from apmatrix.linux.system import LinuxSystem
    from apmatrix.linux.vfio_ap.mdev import MatrixMdev
    from apmatrix.linux.vfio_ap.queue import VfioQueue

TYPE_NAME = "vfio_ap-passthrough"
WITHOUT_APXA = Matrix(Mask.up_to(63), Mask.up_to(15), Mask.up_to(15))


class MatrixDevice(Device):
    """``/sys/devices/vfio_ap/matrix``."""

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (*Device.GROUPS, MATRIX_DEVICE)


class MdevType(KObject):
    """``mdev_supported_types/vfio_ap-passthrough``."""

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (MDEV_TYPE,)

    def __init__(self, module: VfioAp, parent_path: str) -> None:
        super().__init__(module.system.sysfs, parent_path, TYPE_NAME)
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

    def remove(self, device: MatrixMdev) -> None:
        """An mdev that is unbound gives up what it was assigned, as one that is removed."""
        self._lifecycle.let_go(device)


class VfioAp:
    """The loaded module.

    ``info`` is its copy of the host configuration, ``queues`` those bound to it, ``owners`` the mdev that each
    assigned APQN belongs to. Locks: host.md MTX-5.
    """

    def __init__(self, system: LinuxSystem) -> None:
        self.system = system
        self.bus: ApBus = system.ap
        self.guests_lock = Mutex(system.kernel, "the guests lock")
        self.mdevs_lock = Mutex(system.kernel, "the mdevs lock")
        self.info: Configuration = self.bus.fetch_info()
        self.queues: dict[Apqn, VfioQueue] = {}
        self.owners: dict[Apqn, MatrixMdev] = {}
        self.assignment = Assignment(self)
        self.lifecycle = Lifecycle(self)
        self.host_configuration = HostConfiguration(self)
        self._make_devices()
        self.driver = VfioApDriver(self)
        self.bus.add_driver(self.driver)

    def _make_devices(self) -> None:
        system = self.system
        self.matrix_bus = Bus(system.sysfs, system.uevents, "matrix")
        self.mdev_bus = Bus(system.sysfs, system.uevents, "mdev")
        self.matrix_bus.add_driver(MatrixDriver(self.matrix_bus, "vfio_ap"))
        self.mdev_driver = MdevDriver(self.mdev_bus, self.lifecycle)
        self.mdev_bus.add_driver(self.mdev_driver)
        self.matrix_device = MatrixDevice(self.matrix_bus, "devices/vfio_ap", "matrix")
        self.matrix_bus.add_device(self.matrix_device)
        types = KObject(system.sysfs, self.matrix_device.path, "mdev_supported_types")
        self.mdev_type = MdevType(self, types.path)
        self.type_devices = KObject(system.sysfs, self.mdev_type.path, "devices")
        self.matrix_device.add_child("mdev_supported_types", types)
        types.add_child(TYPE_NAME, self.mdev_type)
        self.mdev_type.add_child("devices", self.type_devices)
        system.sysfs.place("class/mdev_bus", "matrix", Link(self.matrix_device.path))
        self.matrix_device.uevent("change", (("MDEV_STATE", "registered"),))

    def unload(self) -> None:
        """Remove the module: idle mdevs go, queues stay unbound; Refused (EAGAIN) while one is open (MTX-93)."""
        self.lifecycle.check_idle()
        for mdev in tuple(self.lifecycle.mdevs.values()):
            self.lifecycle.remove(mdev)
        self.bus.remove_driver(self.driver)
        self.matrix_device.uevent("change", (("MDEV_STATE", "unregistered"),))
        self.matrix_bus.remove_device(self.matrix_device)
        for directory, name in (("class", "mdev_bus"), ("devices", "vfio_ap"), ("bus", "matrix"), ("bus", "mdev")):
            self.system.sysfs.drop(directory, name)

    def limits(self) -> Matrix:
        """The highest numbers that an mdev may be assigned, as masks (MTX-4)."""
        if not self.info.apxa:
            return WITHOUT_APXA
        domains = Mask.up_to(self.info.highest_domain)
        return Matrix(Mask.up_to(self.info.highest_adapter), domains, domains)

    # who has what

    def newest_first(self) -> list[MatrixMdev]:
        """The mdevs in the order in which the driver looks at them."""
        return list(reversed(self.lifecycle.mdevs.values()))

    def host_queues(self, matrix: Matrix) -> tuple[Apqn, ...]:
        """The APQNs of ``matrix`` that are the host's (BUS-66)."""
        bus = self.bus
        overridden: set[Apqn] = set()
        if bus.override_count:
            overridden = {apqn for apqn, queue in bus.active.items() if queue.override and apqn in matrix}
        masked = Matrix(matrix.apm & bus.apmask, matrix.aqm & bus.aqmask)
        hosts = [apqn for apqn in masked.apqns() if apqn not in overridden]
        hosts.extend(apqn for apqn in overridden if bus.owned_by_default(apqn))
        return tuple(sorted(hosts))

    def conflicts(self, mdev: MatrixMdev, new: Matrix) -> list[tuple[MatrixMdev, tuple[Apqn, ...]]]:
        """Other mdevs that have APQNs which ``new`` would add to ``mdev``, newest first."""
        found: dict[MatrixMdev, list[Apqn]] = {}
        for apqn in new.queues_beyond(mdev.matrix):
            owner = self.owners.get(apqn)
            if owner is not None and owner is not mdev:
                found.setdefault(owner, []).append(apqn)
        ordered = sorted(found.items(), key=lambda item: -item[0].sequence)
        return [(owner, tuple(sorted(apqns))) for owner, apqns in ordered]

    def check_not_in_use(self, adapters: Mask, domains: Mask) -> None:
        """BUS-34, BUS-35: raises InUse if an mdev has such an APQN, whatever the masks and guests are."""
        wanted = Matrix(adapters, domains)
        with self.guests_lock, self.mdevs_lock:
            holders = [mdev for mdev in self.newest_first() if mdev.matrix.shares_queues(wanted)]
            if not holders:
                return
            for mdev in holders if self.system.policy.blames_everyone else holders[:1]:
                for apqn in mdev.matrix.shared(wanted).apqns():
                    self.system.log.warning(
                        f"{mdev.log_prefix()}Can not reserve queue {apqn} for host driver: in use by mdev"
                    )
            apqns = tuple(holders[0].matrix.shared(wanted).apqns())
            raise InUse(
                f"{queues_named(apqns)} cannot be reserved for the host: mdev {holders[0].name} has "
                f"{'it' if len(apqns) == 1 else 'them'}",
                apqns=apqns,
                holder=holders[0].name,
                remedy="unassign it there first",
            )

    def set_matrix(self, mdev: MatrixMdev, new: Matrix) -> None:
        """Give ``mdev`` a new matrix; queues that are bound to vfio_ap are linked to it."""
        old = mdev.matrix
        for apqn in old.queues_beyond(new):
            self.owners.pop(apqn, None)
        for apqn in new.queues_beyond(old):
            self.owners[apqn] = mdev
            if apqn in self.queues:
                self.link(mdev, self.queues[apqn])
        mdev.matrix = new

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
        possible = mdev.matrix & self.host
        reasons = self.obstacles(mdev.matrix)
        self.system.policy.filtered(mdev, reasons)
        mdev.reasons = reasons
        lost = Mask.of(*reasons)
        mdev.guest = replace(before, apm=possible.apm - lost, aqm=possible.aqm)
        return mdev.guest != before, lost & before.apm

    @property
    def host(self) -> Matrix:
        """What the host has to give."""
        return self.system.policy.host_matrix(self)

    def obstacles(self, matrix: Matrix) -> dict[int, str]:
        """The adapters of ``matrix`` that a guest with it could not have, each with the reason."""
        possible = matrix & self.host
        found = ((adapter, self._obstacle(adapter, possible.aqm)) for adapter in possible.apm)
        return {adapter: reason for adapter, reason in found if reason}

    def _obstacle(self, adapter: int, domains: Mask) -> str | None:
        """Why a guest cannot have an adapter; None if it can. An assigned queue that is bound is linked, too."""
        for domain in domains:
            queue = self.queues.get(Apqn(adapter, domain))
            if queue is None:
                return f"{Apqn(adapter, domain)} is not bound to vfio_ap"
            if not queue.passable:
                return f"the last reset of {queue.apqn} ended with response code {queue.reset_code:02x}"
        return None

    def filter_control_domains(self, mdev: MatrixMdev) -> bool:
        """Compute the guest's control domains (MTX-52); True if they changed."""
        domains = mdev.matrix.adm & self.host.adm
        changed = domains != mdev.guest.adm
        mdev.guest = replace(mdev.guest, adm=domains)
        return changed

    def refilter(self, mdev: MatrixMdev) -> None:
        """Filter, tell the guest if something changed, and reset what it lost (MTX-20)."""
        changed, lost = self.filter(mdev)
        if changed:
            self.update_guest(mdev)
            self.reset_adapters(mdev, lost)

    def update_guest(self, mdev: MatrixMdev) -> None:
        """MTX-60: the control block first, then the event."""
        if mdev.vm is None:
            return
        mdev.vm.set_masks(mdev.guest)
        if mdev.config_event:
            mdev.config_event.signal()

    def reset_adapters(self, mdev: MatrixMdev, adapters: Mask) -> None:
        """Reset the linked queues of adapters that the guest lost."""
        reset_queues(self.system, mdev.linked(Matrix(adapters, mdev.guest.aqm)))

    def reset(self, queues: Iterable[VfioQueue]) -> bool:
        """Reset queues; False if one of them did not end well."""
        return reset_queues(self.system, queues)

    def status_of(self, apqn: Apqn) -> str:
        """The content of a queue's ``status`` (DEV-13)."""
        with self.mdevs_lock:
            mdev = self.owners.get(apqn)
            if mdev is None:
                return "unassigned\n"
            return "in use\n" if mdev.vm is not None and apqn in mdev.guest else "assigned\n"
