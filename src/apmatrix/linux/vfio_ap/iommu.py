"""The emulated IOMMU groups of mdevs: ``/sys/kernel/iommu_groups/N``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apmatrix.linux.core import AttributeGroup, FixedDirectory, KObject, Link

if TYPE_CHECKING:
    from apmatrix.linux.core import Sysfs
    from apmatrix.linux.core.attributes import AnyGroup

GROUP: AttributeGroup[IommuGroup] = AttributeGroup()


@GROUP.show("type")
def group_type(_group: IommuGroup) -> str:
    """``unknown``: an emulated group translates no addresses."""
    return "unknown\n"


@GROUP.show("reserved_regions")
def reserved_regions(_group: IommuGroup) -> str:
    """Empty: an emulated group has no reserved regions."""
    return ""


class IommuGroup(KObject):
    """One group with one device."""

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (GROUP,)


class IommuGroups:
    """Numbers the groups, the lowest free number first."""

    PATH = "kernel/iommu_groups"

    def __init__(self, sysfs: Sysfs) -> None:
        self._sysfs = sysfs
        self._free: list[int] = []
        self._next = 0

    def add(self, name: str, path: str) -> int:
        """Create a group for the device ``name`` at ``path``; returns its number."""
        if self._free:
            number = min(self._free)
            self._free.remove(number)
        else:
            number = self._next
            self._next += 1
        group = IommuGroup(self._sysfs, self.PATH, str(number))
        group.children = {"devices": FixedDirectory({name: Link(path)})}
        self._sysfs.place(self.PATH, str(number), group)
        return number

    def remove(self, number: int) -> None:
        """Remove a group; its number is free again."""
        self._sysfs.drop(self.PATH, str(number))
        self._free.append(number)
