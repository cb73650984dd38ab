"""The storage of the program that calls an ioctl."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from apmatrix.arch import Layout
from apmatrix.rules.refusals import Failed

if TYPE_CHECKING:
    from apmatrix.linux.zcrypt.byteorder import ByteOrder

L = TypeVar("L", bound=Layout)


class UserMemory(Protocol):
    """Access to a program's storage.

    Both raise Failed with EFAULT, or any OSError, for storage that the program could not use that way itself. They
    are called without the system's lock: another program, or this system, may have to bring the storage in first.
    """

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes from ``address`` on."""

    def write(self, address: int, data: bytes) -> None:
        """Store ``data`` at ``address``."""


@dataclass(frozen=True, slots=True)
class UserSpace:
    """A program's storage as ioctls use it, structures in its byte ``order``. All methods raise Failed (EFAULT)."""

    memory: UserMemory
    order: ByteOrder

    def bytes_at(self, address: int, length: int) -> bytes:
        """Fetch bytes; a length of 0 needs no storage."""
        if not length:
            return b""
        try:
            data = self.memory.read(address, length)
        except OSError as error:
            raise _fault(address, length) from error
        if len(data) != length:
            raise _fault(address, length)
        return data

    def store(self, address: int, data: bytes) -> None:
        """Store bytes; empty data needs no storage."""
        if not data:
            return
        try:
            self.memory.write(address, data)
        except OSError as error:
            raise _fault(address, len(data)) from error

    def fetch(self, kind: type[L], address: int) -> L:
        """Fetch a structure in the program's byte order."""
        return self.order.parse(kind, self.bytes_at(address, kind.SIZE))

    def store_block(self, address: int, block: Layout) -> None:
        """Store a structure in the program's byte order."""
        self.store(address, self.order.dump(block))

    def store_number(self, address: int, value: int, size: int = 4) -> None:
        """Store a number of ``size`` bytes."""
        self.store(address, self.order.number(value, size))


def _fault(address: int, length: int) -> Failed:
    return Failed(f"the program has no {length} bytes at {address:#x} for this", number=errno.EFAULT)
