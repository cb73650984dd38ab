"""The emulated IOMMU groups of mdevs: ``/sys/kernel/iommu_groups/N``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apmatrix.linux.core import AttributeGroup, ChangeKind, FixedDirectory, KObject, Link

if TYPE_CHECKING:
    from apmatrix.linux.core import Sysfs
    from apmatrix.linux.core.attributes import AnyGroup

GROUP: AttributeGroup[IommuGroup] = AttributeGroup()


@GROUP.show("type")
def group_type(_group: IommuGroup) -> str:
    """There is no translation behind an emulated group."""
    return "unknown\n"


@GROUP.show("reserved_regions")
def reserved_regions(_group: IommuGroup) -> str:
    """None."""
    return ""


class IommuGroup(KObject):
    """One group with one device."""

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (GROUP,)


class IommuGroups:
    """Numbers the groups, the lowest free number first."""

    PATH = "kernel/iommu_groups"

    def __init__(self, sysfs: Sysfs) -> None:
        self._sysfs = sysfs
        self._directory = sysfs.root.below(self.PATH)
        self._free: list[int] = []
        self._next = 0

    def add(self, name: str, path: str) -> int:
        """Make a group for the device ``name`` at ``path``; the group's number."""
        if self._free:
            number = min(self._free)
            self._free.remove(number)
        else:
            number = self._next
            self._next += 1
        group = IommuGroup(self._sysfs, self.PATH, str(number))
        group.children = {"devices": FixedDirectory({name: Link(path)})}
        self._directory.entries[str(number)] = group
        self._sysfs.changed(ChangeKind.ADDED, self.PATH, str(number))
        return number

    def remove(self, number: int) -> None:
        """Remove a group."""
        del self._directory.entries[str(number)]
        self._free.append(number)
        self._sysfs.changed(ChangeKind.REMOVED, self.PATH, str(number))
