"""A client process: its storage, as the kernel reaches it for an ioctl, and its name.

A process is known by its number in the PID namespace of this one, and numbers are used again. So what is to outlast a
moment is bound to the process: its directory in /proc to the process, an open ``mem`` to its address space.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import struct
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from apmatrix.linux.core import Task

if TYPE_CHECKING:
    from collections.abc import Callable

_libc: Final = ctypes.CDLL(None, use_errno=True)
_ADDRESSES: Final = 1 << 64
_WRITABLE: Final = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) .w", re.MULTILINE)
_CHUNK: Final = 1 << 16

_QUERY: Final = struct.Struct("=QQQ8xQ64x")  # struct procmap_query: size, flags, address, end of the area found
_PROCMAP_QUERY: Final = 0xC0686611
_QUERY_WRITABLE: Final = 2


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_libc.process_vm_readv.argtypes = (
    *(ctypes.c_int, ctypes.POINTER(_Vector), ctypes.c_ulong),
    *(ctypes.POINTER(_Vector), ctypes.c_ulong, ctypes.c_ulong),
)
_libc.process_vm_readv.restype = ctypes.c_ssize_t


def _writable_until(maps: int, address: int) -> int | None:
    """Where the writable area ends that ``address`` is in, in the storage of an open ``maps``; None without one."""
    query = _QUERY.pack(_QUERY.size, _QUERY_WRITABLE, address, 0)
    try:
        return int(_QUERY.unpack(fcntl.ioctl(maps, _PROCMAP_QUERY, query))[3])
    except OSError as error:
        if error.errno != errno.ENOTTY:
            return None
    # Before Linux 6.11 there is only the text, which is much slower.
    os.lseek(maps, 0, os.SEEK_SET)
    text = b"".join(iter(partial(os.read, maps, _CHUNK), b""))
    areas = ((int(start, 16), int(end, 16)) for start, end in _WRITABLE.findall(text))
    return next((end for start, end in areas if start <= address < end), None)


class ProcessMemory:
    """The storage of a process that waits for the answer to a request.

    ``process`` is its number, or that of one of its threads, in this process's PID namespace; 0 for one that is not
    in it. ``waits`` says whether it still waits: while it does, the number cannot be used again. Raises OSError
    EACCES for a process that is not known or must not be accessed, ESRCH if it no longer waits. Usable as a context
    manager.
    """

    def __init__(self, process: int, waits: Callable[[], bool]) -> None:
        self._process = process
        self._waits = waits
        if process <= 0:
            raise _error(errno.EACCES)
        try:
            self._directory = os.open(f"/proc/{process}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise _error(errno.ESRCH) from error
        try:
            self._memory = os.open("mem", os.O_RDWR | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError as error:
            os.close(self._directory)
            raise _error(errno.EACCES if isinstance(error, PermissionError) else errno.ESRCH) from error
        try:
            self._check_waiting()
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the process; to be called once."""
        os.close(self._memory)
        os.close(self._directory)

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes from ``address`` on; fewer if the rest is not mapped. OSError EFAULT, ESRCH."""
        buffer = ctypes.create_string_buffer(length)
        local = _Vector(ctypes.addressof(buffer), length)
        remote = _Vector(address % _ADDRESSES, length)
        done = int(_libc.process_vm_readv(self._process, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0))
        number = ctypes.get_errno()
        # What was read by number counts only if the number was still the process's own afterwards.
        self._check_waiting()
        self._check_alive()
        if done < 0:
            raise _error(number)
        return buffer.raw[:done]

    def write(self, address: int, data: bytes) -> None:
        """Store ``data`` at ``address``; OSError EFAULT, and ESRCH once the process no longer waits."""
        address %= _ADDRESSES
        if not self._writable(address, len(data)):
            raise _error(errno.EFAULT)
        self._check_waiting()
        try:
            done = os.pwrite(self._memory, data, address)
        except OSError as error:
            raise _error(errno.EFAULT) from error
        if done != len(data):
            raise _error(errno.EFAULT if done else errno.ESRCH)

    def _writable(self, address: int, length: int) -> bool:
        """True if the process itself may store there; ``mem`` would overrule the protection of its pages."""
        maps = os.open("maps", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
        try:
            end = address + length
            while address < end:
                limit = _writable_until(maps, address)
                if limit is None:
                    return False
                address = limit
            return True
        finally:
            os.close(maps)

    def _check_waiting(self) -> None:
        if not self._waits():
            raise _error(errno.ESRCH)

    def _check_alive(self) -> None:
        if not os.access("mem", os.F_OK, dir_fd=self._directory):
            raise _error(errno.ESRCH)


class ClientTask(Task):
    """The process that made a request; its name is looked up when it is needed."""

    def __init__(self, process: int) -> None:
        super().__init__("", process)

    @property
    def comm(self) -> str:
        """The process's name, ``?`` if it is gone or not in this process's PID namespace."""
        try:
            with open(f"/proc/{self.pid}/comm", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                return file.read().rstrip("\n")
        except OSError:
            return "?"

    @comm.setter
    def comm(self, name: str) -> None:
        """Ignored: the process knows its name."""


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
