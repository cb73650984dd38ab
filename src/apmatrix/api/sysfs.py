"""The /sys of an emulated Linux system, for programs in this process."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from apmatrix.api.values import AnyPath, below_sys
from apmatrix.arch.arguments import checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apmatrix.linux import LinuxSystem


__tracebackhide__ = True  # pytest shows the caller's line instead


class SysfsFiles:
    """Reads and writes the files below /sys of one Linux system.

    A path may begin with ``/sys/``, and may be bytes. Every method raises OSError with the kernel's errno
    (FileNotFoundError, PermissionError …); where the kernel refused something, the error's text says what and why,
    and its ``__cause__`` is the :class:`Refused` with the APQNs and their holder. A call waits where the kernel
    would wait.
    """

    def __init__(self, linux: Callable[[], LinuxSystem]) -> None:
        self._linux = linux

    @checked
    def read(self, path: AnyPath) -> str:
        """The text of a file as ``$(cat FILE)`` gives it: without the newline at its end."""
        return self.read_bytes(path).decode("latin-1").removesuffix("\n")

    @checked
    def read_bytes(self, path: AnyPath) -> bytes:
        """The content of a file, every byte."""
        with _named(path) as name:
            return self._linux().sysfs.read(name)

    @checked
    def write(self, path: AnyPath, data: str | bytes) -> int:
        """Write to a file, once; returns the number of bytes taken. No newline is added, and none is needed."""
        with _named(path) as name:
            return self._linux().sysfs.write(name, data.encode() if isinstance(data, str) else data)

    @checked
    def listdir(self, path: AnyPath = "") -> list[str]:
        """The sorted names in a directory."""
        with _named(path) as name:
            return self._linux().sysfs.list(name)

    @checked
    def readlink(self, path: AnyPath) -> str:
        """Where a symbolic link points to, relative as in the kernel."""
        with _named(path) as name:
            return self._linux().sysfs.readlink(name)

    @checked
    def exists(self, path: AnyPath) -> bool:
        """True if there is such a file, directory or link."""
        try:
            self._linux().sysfs.stat(below_sys(path))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True


@contextmanager
def _named(path: AnyPath) -> Iterator[str]:
    """The path below /sys; errors get the whole path."""
    name = below_sys(path)
    try:
        yield name
    except OSError as error:
        error.filename = f"/sys/{name}"
        raise
