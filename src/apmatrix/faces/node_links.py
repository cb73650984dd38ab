"""Links in a directory such as /dev to the device nodes of an emulated system.

Names come from programs, and the directory is theirs too: nothing is followed out of it, nothing that exists is
replaced, and nothing is removed but what was made here.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NO_NAMES: Final = frozenset({"", ".", ".."})
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class NodeLinks:
    """Keeps one link for each device in an open ``directory``, which it closes; they lead to files in ``target``.

    As in devtmpfs, ``!`` in a device's name is the ``/`` of a path; directories on the way are made, and removed with
    the last device in them.
    """

    def __init__(self, directory: int, target: str) -> None:
        self._directory = directory
        self._target = target
        self._made: dict[str, tuple[int, int] | None] = {}  # device and inode of the link, None without one
        self._directories: dict[str, tuple[int, int]] = {}  # those that were made here, by the same kind of name

    def update(self, names: Iterable[str]) -> None:
        """Make links for devices that are new, and remove those of devices that have gone."""
        there = set(names)
        for name in self._made.keys() - there:
            self._remove(name, self._made.pop(name))
        for name in sorted(there - self._made.keys()):
            self._made[name] = self._make(name)

    def close(self) -> None:
        """Leave the directory as it is."""
        os.close(self._directory)

    def _make(self, name: str) -> tuple[int, int] | None:
        # A name that cannot be made, or that exists, has no link: the device works through its node all the same.
        with contextlib.suppress(OSError, ValueError), self._parent(name, make=True) as (directory, last):
            os.symlink(f"{self._target}/{name}", last, dir_fd=directory)
            return _identity(directory, last)
        return None

    def _remove(self, name: str, identity: tuple[int, int] | None) -> None:
        if identity is not None:
            with contextlib.suppress(OSError), self._parent(name) as (directory, last):
                if _identity(directory, last) == identity:
                    os.unlink(last, dir_fd=directory)
        self._remove_directories(name.rpartition("!")[0])

    def _remove_directories(self, name: str) -> None:
        """Remove a directory and those above it, as far as they were made here and are empty."""
        while name in self._directories:
            try:
                with self._parent(name) as (directory, last):
                    if _identity(directory, last) == self._directories[name]:
                        os.rmdir(last, dir_fd=directory)
            except OSError as error:
                if error.errno == errno.ENOTEMPTY:
                    return
            del self._directories[name]
            name = name.rpartition("!")[0]

    @contextlib.contextmanager
    def _parent(self, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The directory of a device's link, and the link's name in it; OSError, ValueError for a strange name."""
        *path, last = name.split("!")
        if not _NO_NAMES.isdisjoint((*path, last)) or "/" in name:
            raise ValueError(f"{name!r} is no path below a directory")
        directory = os.dup(self._directory)
        try:
            for depth, step in enumerate(path, 1):
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(step, 0o755, dir_fd=directory)
                        self._directories["!".join(path[:depth])] = _identity(directory, step)
                below = os.open(step, _DIRECTORY, dir_fd=directory)
                os.close(directory)
                directory = below
            yield directory, last
        finally:
            os.close(directory)


def _identity(directory: int, name: str) -> tuple[int, int]:
    found = os.lstat(name, dir_fd=directory)
    return found.st_dev, found.st_ino
