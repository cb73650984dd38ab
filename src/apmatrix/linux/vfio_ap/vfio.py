"""What VFIO makes of an mdev while ``vfio_ap_mdev`` has it: an IOMMU group, ``vfio/N`` and ``vfio-dev/vfioN``.

The order of the events and the log texts are those of a 7.2 kernel (MTX-14).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from apmatrix.linux.core import AttributeGroup, DeviceNode, FixedDirectory, KObject, Link, LowestFree, Written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.linux.core import Host
    from apmatrix.linux.core.attributes import AnyGroup
    from apmatrix.linux.core.sysfs import Node
    from apmatrix.linux.vfio_ap.mdev import MatrixMdev

MAJOR: Final = 254
"""Major number of the groups' nodes; the real kernel takes a free one."""

IOMMU_GROUPS: Final = "kernel/iommu_groups"

GROUP: AttributeGroup[IommuGroup] = AttributeGroup()


@GROUP.show("name")
def group_name(_group: IommuGroup) -> str:
    """The name of all groups that VFIO makes for devices without an IOMMU."""
    return "vfio-noiommu\n"


@GROUP.show("type")
def group_type(_group: IommuGroup) -> str:
    """``unknown``: an emulated group translates no addresses."""
    return "unknown\n"


@GROUP.show("reserved_regions")
def reserved_regions(_group: IommuGroup) -> str:
    """Empty: an emulated group has no reserved regions."""
    return ""


class IommuGroup(KObject):
    """A group with one device."""

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (GROUP,)


class VfioGroup(DeviceNode):
    """``/sys/devices/virtual/vfio/N``: the node through which a VMM opens group N."""

    def __init__(self, host: Host, group: int, minor: int) -> None:
        super().__init__(host, "vfio", str(group), (MAJOR, minor), 0o600)
        self.device_name = f"vfio/{group}"


VFIO_DEVICE: AttributeGroup[VfioDevice] = AttributeGroup()


@VFIO_DEVICE.show("uevent")
def show_uevent(_device: VfioDevice) -> str:
    """Empty: the device has no node of its own without CONFIG_VFIO_DEVICE_CDEV."""
    return ""


@VFIO_DEVICE.store("uevent")
def synthesize_uevent(device: VfioDevice, value: Written) -> None:
    """Send a synthetic uevent about the device."""
    device.host.uevents.request(value.raw, f"/{device.path}", CLASS, device=f"{CLASS} {device.name}")


CLASS: Final = "vfio-dev"


class VfioDevice(KObject):
    """``vfio-dev/vfioN`` in the directory of an mdev."""

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (VFIO_DEVICE,)

    def __init__(self, mdev: MatrixMdev, number: int) -> None:
        super().__init__(mdev.sysfs, f"{mdev.path}/{CLASS}", f"vfio{number}")
        self.host = mdev.module.host
        self.number = number

    def names(self) -> Iterator[str]:
        """The names of the attributes and links."""
        yield from (*super().names(), "device", "subsystem")

    def lookup(self, name: str) -> Node | None:
        """The entry of that name."""
        if name == "device":
            return Link(self.parent_path.rpartition("/")[0])
        return Link(f"class/{CLASS}") if name == "subsystem" else super().lookup(name)

    def uevent(self, action: str) -> None:
        """Send an event about the device."""
        self.host.uevents.emit(action, f"/{self.path}", CLASS)


class Registration:
    """An mdev's presence in VFIO: its IOMMU group, that group's node, and its VFIO device."""

    __slots__ = ("device", "group", "node")

    def __init__(self, mdev: MatrixMdev, group: int, minor: int, number: int) -> None:
        self.group = group
        self.node = VfioGroup(mdev.module.host, group, minor)
        self.device = VfioDevice(mdev, number)


class Vfio:
    """Registers mdevs and takes them back; numbers are the lowest free ones."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._groups, self._minors, self._devices = LowestFree(), LowestFree(), LowestFree()

    def register(self, mdev: MatrixMdev) -> None:
        """Give the mdev a group and announce it; for a driver's probe."""
        made = Registration(mdev, self._groups.take(), self._minors.take(), self._devices.take())
        sysfs = self._host.sysfs
        group = IommuGroup(sysfs, IOMMU_GROUPS, str(made.group))
        group.children = {"devices": FixedDirectory({mdev.name: Link(mdev.path)})}
        sysfs.place(IOMMU_GROUPS, group.name, group)
        mdev.add_child("iommu_group", Link(group.path))
        self._host.log.info(f"{mdev.log_prefix()}Adding to iommu group {made.group}")
        sysfs.place(made.node.parent_path, made.node.name, made.node)
        sysfs.place("class/vfio", made.node.name, Link(made.node.path))
        made.node.uevent("add")
        mdev.registration = made
        mdev.add_child(CLASS, FixedDirectory({made.device.name: made.device}))
        sysfs.place(f"class/{CLASS}", made.device.name, Link(made.device.path))
        made.device.uevent("add")

    def unregister(self, mdev: MatrixMdev) -> None:
        """Take the mdev back, device first; for a driver's remove, when no program has the device open."""
        made, sysfs = mdev.registration, self._host.sysfs
        if made is None:
            return
        mdev.remove_child(CLASS)
        sysfs.drop(f"class/{CLASS}", made.device.name)
        made.device.uevent("remove")
        sysfs.drop(made.node.parent_path, made.node.name)
        sysfs.drop("class/vfio", made.node.name)
        made.node.uevent("remove")
        self._host.log.info(f"{mdev.log_prefix()}Removing from iommu group {made.group}")
        mdev.remove_child("iommu_group")
        sysfs.drop(IOMMU_GROUPS, str(made.group))
        mdev.registration = None
        for numbers, number in (
            (self._groups, made.group),
            (self._minors, made.node.minor),
            (self._devices, made.device.number),
        ):
            numbers.give_back(number)
