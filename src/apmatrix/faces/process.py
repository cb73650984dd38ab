"""A client process: its storage, as the kernel reaches it for an ioctl, and its name."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any, Final

from apmatrix.linux.core import Task

_libc: Final = ctypes.CDLL(None, use_errno=True)


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


for _function in (_libc.process_vm_readv, _libc.process_vm_writev):
    _function.argtypes = (
        *(ctypes.c_int, ctypes.POINTER(_Vector), ctypes.c_ulong),
        *(ctypes.POINTER(_Vector), ctypes.c_ulong, ctypes.c_ulong),
    )
    _function.restype = ctypes.c_ssize_t


class ProcessMemory:
    """A process's storage. OSError EFAULT for addresses that are not mapped, ESRCH if the process is gone."""

    def __init__(self, process: int) -> None:
        self._process = process

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes from ``address`` on; fewer if the rest is not mapped."""
        buffer = ctypes.create_string_buffer(length)
        done = self._transfer(_libc.process_vm_readv, buffer, address, length)
        return buffer.raw[:done]

    def write(self, address: int, data: bytes) -> None:
        """Store ``data`` at ``address``."""
        buffer = ctypes.create_string_buffer(data, len(data))
        if self._transfer(_libc.process_vm_writev, buffer, address, len(data)) != len(data):
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))

    def _transfer(self, function: Any, buffer: ctypes.Array[ctypes.c_char], address: int, length: int) -> int:
        local = _Vector(ctypes.addressof(buffer), length)
        remote = _Vector(address & (1 << 64) - 1, length)
        done = int(function(self._process, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0))
        if done < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return done


class ClientTask(Task):
    """The process that made a request; its name is looked up when it is needed."""

    def __init__(self, process: int) -> None:
        super().__init__("", process)

    @property
    def comm(self) -> str:
        """The process's name, ``?`` if it is gone."""
        try:
            with open(f"/proc/{self.pid}/comm", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                return file.read().rstrip("\n")
        except OSError:
            return "?"

    @comm.setter
    def comm(self, name: str) -> None:
        """Ignored: the process knows its name."""
