"""The files of an emulated Linux as a tree, like those of any other Linux."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from apmatrix.hosts import Tree

if TYPE_CHECKING:
    from apmatrix.hosts.tree import Names
    from apmatrix.linux.core import Sysfs

_SYS: Final = "/sys/"


class SysfsTree(Tree):
    """The /sys of an emulated Linux; no other file exists (ENOENT)."""

    def __init__(self, sysfs: Sysfs) -> None:
        self._sysfs = sysfs

    @staticmethod
    def _below(path: str) -> str:
        if not f"{path}/".startswith(_SYS):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return path[len(_SYS) :]

    def read(self, path: str) -> bytes:
        """The content of an attribute."""
        return self._sysfs.read(self._below(path))

    def write(self, path: str, data: bytes) -> None:
        """Write an attribute; the OSError's cause is why the kernel refused it."""
        self._sysfs.write(self._below(path), data)

    def list(self, path: str) -> Names:
        """The names in a directory, sorted."""
        return sorted(self._sysfs.list(self._below(path)))

    def readlink(self, path: str) -> str:
        """The target of a symbolic link."""
        return self._sysfs.readlink(self._below(path))
