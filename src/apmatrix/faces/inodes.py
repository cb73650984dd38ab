"""The inodes of a mounted /sys: which nodes of the tree the kernel knows by number.

The table is guarded by the emulated system's lock, under which the tree changes and reports it: what a lookup
found cannot go away before it is in the table.
"""

from __future__ import annotations

import posixpath
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from apmatrix.faces.fuse.wire import Attributes, Entry, directory_entries
from apmatrix.faces.overlay import Merged, Placeholder
from apmatrix.linux.core import PAGE_SIZE
from apmatrix.linux.core.sysfs import Directory, File, Link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.linux.core.sysfs import Node

ROOT: Final = 1
"""The number of the root directory, by the protocol."""

UNKNOWN: Final = 0xFFFFFFFF
"""The number in a listing for what has not been looked up yet."""


class Inode:
    """A node of the tree that the kernel has looked up. ``alive`` is False once its directory entry is gone."""

    __slots__ = (
        "alive",
        "attributes",
        "children",
        "entry",
        "events",
        "listing",
        "lookups",
        "name",
        "number",
        "parent",
        "pollers",
        "target",
    )

    def __init__(
        self, number: int, parent: Inode | None, name: str, target: Node | Merged | Placeholder, time: int
    ) -> None:
        """``time`` is what stat shows as the times, in seconds since 1970."""
        self.number = number
        self.parent = parent
        self.name = name
        self.target = target
        self.alive = True
        self.lookups = 0
        self.events = 0
        self.children: dict[str, Inode] = {}
        self.pollers: set[int] = set()
        self.listing: list[bytes] | None = None
        size = PAGE_SIZE if isinstance(target, File) else 0
        self.describe(Attributes(number, mode(target), size, time=time))

    def describe(self, attributes: Attributes) -> None:
        """Set what stat shows."""
        self.attributes = attributes
        self.entry = bytes(Entry(attributes))

    def change(self, *, permissions: int | None, user: int | None, group: int | None) -> None:
        """Do chmod and chown: sysfs keeps both while the node exists."""
        now = self.attributes
        kind = stat.S_IFMT(now.mode)
        self.describe(
            replace(
                now,
                mode=now.mode if permissions is None else kind | stat.S_IMODE(permissions),
                user=now.user if user is None else user,
                group=now.group if group is None else group,
            )
        )

    @property
    def path(self) -> str:
        """The node's path below /sys."""
        if self.parent is None:
            return ""
        above = self.parent.path
        return f"{above}/{self.name}" if above else self.name

    @property
    def link_text(self) -> str | None:
        """What readlink gives, relative as the kernel makes it; None for what is not a link."""
        if isinstance(self.target, Link):
            return posixpath.relpath("/" + self.target.target, "/" + posixpath.dirname(self.path))
        return self.target.text if isinstance(self.target, Placeholder) and self.target.text else None


class Inodes:
    """The table, and how it follows the tree's changes."""

    def __init__(self, root: Directory | Merged, time: int) -> None:
        """``time``, in seconds since 1970, is when the tree was mounted: the age of all its nodes."""
        self._time = time
        self.root = Inode(ROOT, None, "", root, time)
        self.root.lookups = 1
        self._numbers: dict[int, Inode] = {ROOT: self.root}
        self._last = ROOT

    def __getitem__(self, number: int) -> Inode:
        return self._numbers[number]

    def __len__(self) -> int:
        return len(self._numbers)

    def look_up(self, parent: Inode, name: str) -> Inode | None:
        """The child of that name, with one more reference by the kernel counted; None if there is none."""
        child = parent.children.get(name)
        if child is None:
            target = parent.target.lookup(name) if isinstance(parent.target, Directory | Merged) else None
            if target is None or not parent.alive:
                return None
            self._last += 1
            child = Inode(self._last, parent, name, target, self._time)
            parent.children[name] = self._numbers[self._last] = child
        child.lookups += 1
        return child

    def forget(self, number: int, lookups: int) -> None:
        """Drop ``lookups`` of the kernel's references."""
        inode = self._numbers.get(number)
        if inode is not None:
            inode.lookups -= lookups
            self._drop(inode)

    def _drop(self, inode: Inode | None) -> None:
        while inode is not None and inode.lookups <= 0 and not inode.children and inode.parent:
            del self._numbers[inode.number]
            if not inode.alive:
                return
            del inode.parent.children[inode.name]
            inode = inode.parent

    def find(self, path: str) -> Inode | None:
        """The inode at ``path``, if the kernel knows it."""
        inode: Inode | None = self.root
        for name in path.split("/") if path else ():
            inode = inode.children.get(name) if inode else None
        return inode

    def kill(self, parent: Inode, name: str) -> Iterator[Inode]:
        """Remove an entry and all below it; yields each removed inode, the innermost first."""
        inode = parent.children.pop(name, None)
        if inode is not None:
            yield from self._kill(inode)

    def _kill(self, inode: Inode) -> Iterator[Inode]:
        inode.alive = False
        for child in tuple(inode.children.values()):
            yield from self._kill(child)
        inode.children.clear()
        yield inode

    def listing(self, inode: Inode) -> list[bytes]:
        """The READDIR records of a directory; kept until an entry is added or removed."""
        if inode.listing is None:
            target = inode.target
            assert isinstance(target, Directory | Merged)
            above = inode.parent.number if inode.parent else ROOT
            entries = [(".", inode.number, stat.S_IFDIR), ("..", above, stat.S_IFDIR)]
            for name in sorted(target.names()):
                found = target.lookup(name)
                if found is not None:
                    known = inode.children.get(name)
                    entries.append((name, known.number if known else UNKNOWN, stat.S_IFMT(mode(found))))
            inode.listing = directory_entries(entries)
        return inode.listing


def mode(target: Node | Merged | Placeholder) -> int:
    """File type and permissions of a node of the tree."""
    if isinstance(target, File):
        return stat.S_IFREG | target.attribute.mode
    if isinstance(target, Link):
        return stat.S_IFLNK | 0o777
    return target.mode if isinstance(target, Placeholder) else stat.S_IFDIR | 0o755
