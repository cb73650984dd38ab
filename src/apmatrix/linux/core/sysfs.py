"""The tree below /sys, generated from the driver core's objects when it is accessed.

Nothing is stored twice: directories ask their objects for names, links are computed from the objects' paths. Paths
have no leading slash and are relative to /sys. Every operation raises OSError with the kernel's errno; the
``Refused`` that it comes from is its ``__cause__``.
"""

from __future__ import annotations

import errno
import os
import posixpath
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from apmatrix.linux.core.attributes import PAGE_SIZE, Attribute, Written
from apmatrix.linux.core.sync import Kernel, Task
from apmatrix.rules.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_LINKS = 40


class Kind(Enum):
    """Kinds of tree nodes."""

    DIRECTORY = "directory"
    FILE = "file"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Stat:
    """What stat(2) returns: kind, permission bits, size in bytes."""

    kind: Kind
    mode: int
    size: int


class ChangeKind(Enum):
    """What happened to a directory entry; NOTIFY wakes pollers of a file."""

    ADDED = "added"
    REMOVED = "removed"
    NOTIFY = "notify"


@dataclass(frozen=True, slots=True)
class TreeChange:
    """The entry ``name`` of ``directory`` was added, was removed, or has news for pollers."""

    kind: ChangeKind
    directory: str
    name: str


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link to ``target``, a path below /sys."""

    target: str


class Directory:
    """A directory. ``names`` lists its entries, ``lookup`` finds one."""

    __slots__ = ()

    def names(self) -> Iterable[str]:
        """The names of the entries, in no particular order."""
        return ()

    def lookup(self, name: str) -> Node | None:  # noqa: ARG002 - the base has no entries
        """The entry of that name."""
        return None


@dataclass(frozen=True, slots=True)
class File:
    """An attribute of an object."""

    owner: Any
    attribute: Attribute[Any]

    def __hash__(self) -> int:
        return hash((id(self.owner), id(self.attribute)))


Node = Directory | File | Link


class FixedDirectory(Directory):
    """A plain directory, which stores its entries."""

    __slots__ = ("entries",)

    def __init__(self, entries: dict[str, Node] | None = None) -> None:
        self.entries: dict[str, Node] = entries if entries is not None else {}

    def names(self) -> Iterable[str]:
        """The names of the entries."""
        return tuple(self.entries)

    def lookup(self, name: str) -> Node | None:
        """The entry of that name."""
        return self.entries.get(name)


class OpenFile:
    """An open attribute. It stays open when its object goes away, and then gives ENODEV."""

    def __init__(self, sysfs: Sysfs, path: str, file: File) -> None:
        self._sysfs = sysfs
        self._path = path
        self._file = file

    def _check(self) -> None:
        owner, attribute = self._file.owner, self._file.attribute
        current = owner.lookup(attribute.name)
        if not owner.alive or not isinstance(current, File) or current.attribute is not attribute:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), self._path)

    def read(self, task: Task | None = None) -> bytes:
        """The attribute's content; OSError EIO if it cannot be read, ENODEV if its object is gone.

        ``task`` is the reading process: a signal for it ends an interruptible wait with EINTR.
        """
        with self._sysfs.kernel:
            self._check()
            show = self._file.attribute.show
            if show is None:
                raise OSError(errno.EIO, os.strerror(errno.EIO), self._path)
            try:
                return show(self._file.owner, task or Task()).encode("latin-1")
            except Refused as refused:
                raise refused.as_oserror() from refused

    def write(self, data: bytes, task: Task | None = None) -> int:
        """Write once; returns the number of bytes taken. Bad content raises nothing but OSError."""
        if not data:
            return 0
        taken = data[:PAGE_SIZE]
        with self._sysfs.kernel:
            self._check()
            store = self._file.attribute.store
            if store is None:
                raise OSError(errno.EIO, os.strerror(errno.EIO), self._path)
            try:
                store(self._file.owner, Written(taken, task or Task()))
            except Refused as refused:
                if self._sysfs.write_refused is not None:
                    self._sysfs.write_refused(f"{self._file.owner.path}/{self._file.attribute.name}", refused)
                raise refused.as_oserror() from refused
            return len(taken)


class Sysfs:
    """The tree, and the operations on it. ``write_refused`` is called with each path that a write was refused to."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.root = FixedDirectory()
        self._subscribers: list[Callable[[TreeChange], None]] = []
        self.write_refused: Callable[[str, Refused], None] | None = None

    # looking

    def _resolve(self, path: str, *, follow: bool) -> tuple[str, Node]:
        parts = [part for part in path.split("/") if part and part != "."]
        links = 0
        while True:
            node: Node = self.root
            for index, name in enumerate(parts):
                if not isinstance(node, Directory):
                    raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
                found = None if name == ".." else node.lookup(name)
                if name == "..":
                    parts = parts[: max(index - 1, 0)] + parts[index + 1 :]
                    break
                if found is None:
                    raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
                if isinstance(found, Link) and (follow or index + 1 < len(parts)):
                    links += 1
                    if links > MAX_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                    parts = found.target.split("/") + parts[index + 1 :]
                    break
                node = found
            else:
                return "/".join(parts), node

    def open(self, path: str, *, write: bool = False) -> OpenFile:
        """Open an attribute; OSError ENOENT, EISDIR, ENOTDIR, or EACCES where the mode forbids it."""
        with self.kernel:
            real, node = self._resolve(path, follow=True)
            if not isinstance(node, File):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            if not node.attribute.mode & (0o200 if write else 0o444):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)
            return OpenFile(self, real, node)

    def read(self, path: str, task: Task | None = None) -> bytes:
        """Open, read all, close; ``task`` is the reading process, for waits and signals."""
        return self.open(path).read(task)

    def write(self, path: str, data: bytes, task: Task | None = None) -> int:
        """Open, write once, close; returns the number of bytes taken. ``task`` is the writing process."""
        return self.open(path, write=True).write(data, task)

    def list(self, path: str) -> list[str]:
        """The sorted names in a directory; OSError ENOENT, ENOTDIR."""
        with self.kernel:
            _, node = self._resolve(path, follow=True)
            if not isinstance(node, Directory):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            return sorted(node.names())

    def readlink(self, path: str) -> str:
        """The link's content, relative as the kernel makes it; OSError ENOENT, EINVAL if it is not a link."""
        with self.kernel:
            real, node = self._resolve(path, follow=False)
            if not isinstance(node, Link):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
            return posixpath.relpath("/" + node.target, "/" + posixpath.dirname(real))

    def realpath(self, path: str) -> str:
        """The path with every link followed; OSError ENOENT."""
        with self.kernel:
            return self._resolve(path, follow=True)[0]

    def stat(self, path: str, *, follow: bool = False) -> Stat:
        """Kind, mode and size of a node, by default of a link itself; OSError ENOENT, ENOTDIR."""
        with self.kernel:
            _, node = self._resolve(path, follow=follow)
            if isinstance(node, File):
                return Stat(Kind.FILE, node.attribute.mode, PAGE_SIZE)
            if isinstance(node, Link):
                return Stat(Kind.LINK, 0o777, 0)
            return Stat(Kind.DIRECTORY, 0o755, 0)

    # changes

    def directory(self, path: str) -> FixedDirectory:
        """The plain directory at ``path``, created if missing; TypeError if something else is there."""
        parent, _, name = path.rpartition("/")
        above = self.directory(parent) if parent else self.root
        if name not in above.entries:
            above.entries[name] = FixedDirectory()
            self.changed(ChangeKind.ADDED, parent, name)
        found = above.entries[name]
        if not isinstance(found, FixedDirectory):
            raise TypeError(f"{path} is not a plain directory")
        return found

    def place(self, directory: str, name: str, node: Node) -> None:
        """Put an entry into a plain directory."""
        self.directory(directory).entries[name] = node
        self.changed(ChangeKind.ADDED, directory, name)

    def drop(self, directory: str, name: str) -> None:
        """Take an entry out of a plain directory; KeyError if it is not there."""
        del self.directory(directory).entries[name]
        self.changed(ChangeKind.REMOVED, directory, name)

    def subscribe(self, subscriber: Callable[[TreeChange], None]) -> Callable[[], None]:
        """Call ``subscriber`` with every change, under the system's lock; returns a function that unsubscribes."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    @property
    def watched(self) -> bool:
        """True if there are subscribers; otherwise the paths of changes need not be computed."""
        return bool(self._subscribers)

    def changed(self, kind: ChangeKind, directory: str, name: str) -> None:
        """Tell the subscribers that an entry of ``directory`` changed."""
        for subscriber in tuple(self._subscribers):
            subscriber(TreeChange(kind, directory, name))
