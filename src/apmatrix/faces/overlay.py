"""The real machine's /sys around the emulated one.

An emulated system has the AP bus and what belongs to it, and nothing else. Programs also look for block devices,
network interfaces, cgroups and so on, and those stay the real machine's. In the directories that both have, the
entries are merged: the emulated ones are served, and for each real one a placeholder, over which the real directory
or file is bound in the command's mount namespace.
"""

from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from apmatrix.linux.core.sysfs import Directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apmatrix.linux.core.sysfs import Node

MERGED: Final = frozenset(
    {
        "",
        "bus",
        "class",
        "class/misc",
        "dev",
        "dev/char",
        "devices",
        "devices/virtual",
        "devices/virtual/misc",
        "kernel",
        "kernel/iommu_groups",
        "module",
    }
)
"""Directories below /sys in which an emulated system may have entries beside the real ones."""


class Placeholder:
    """An entry of the real /sys: a directory or file to be bound over, or a link with its own text."""

    __slots__ = ("mode", "text")

    def __init__(self, mode: int, text: str = "") -> None:
        self.mode = mode
        self.text = text


class Merged:
    """A directory of the emulated /sys together with the real one's entries.

    ``real`` is a copy of the real directory's entries, made at the start. The emulated entry wins where both have
    one of the same name.
    """

    __slots__ = ("_merged", "_ours", "real")

    def __init__(self, base: Path, ours: Callable[[], Node | None], path: str = "") -> None:
        self._ours = ours
        self._merged: dict[str, Merged] = {}
        self.real: dict[str, Placeholder] = {}
        with os.scandir(base / path) as entries:
            for entry in entries:
                below = f"{path}/{entry.name}" if path else entry.name
                if below in MERGED and entry.is_dir(follow_symlinks=False):
                    self._merged[entry.name] = Merged(base, partial(self._lookup_ours, entry.name), below)
                else:
                    self.real[entry.name] = _placeholder(entry)

    def names(self) -> Iterable[str]:
        """The emulated entries and the real ones."""
        ours = self._ours()
        return {*(ours.names() if isinstance(ours, Directory) else ()), *self._merged, *self.real}

    def lookup(self, name: str) -> Merged | Node | Placeholder | None:
        """The emulated entry of that name, else the real one."""
        return self._merged.get(name) or self._lookup_ours(name) or self.real.get(name)

    def bindings(self, prefix: str = "") -> list[str]:
        """Paths below /sys onto which the real entries are to be bound."""
        found = [
            f"{prefix}{name}"
            for name, placeholder in self.real.items()
            if not stat.S_ISLNK(placeholder.mode) and self.lookup(name) is placeholder
        ]
        for name, inside in self._merged.items():
            found += inside.bindings(f"{prefix}{name}/")
        return found

    def _lookup_ours(self, name: str) -> Node | None:
        ours = self._ours()
        return ours.lookup(name) if isinstance(ours, Directory) else None


def _placeholder(entry: os.DirEntry[str]) -> Placeholder:
    if entry.is_symlink():
        return Placeholder(stat.S_IFLNK | 0o777, str(Path(entry.path).readlink()))
    if entry.is_dir():
        return Placeholder(stat.S_IFDIR | 0o755)
    return Placeholder(stat.S_IFREG | 0o444)
