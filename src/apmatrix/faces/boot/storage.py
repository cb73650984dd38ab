"""The guest's storage, mapped, and dynamic address translation over it.

QEMU keeps the guest's storage in shared memory, so reading a message out of a guest costs a page-table walk
and a copy, and does not involve QEMU.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from typing import TYPE_CHECKING

from apmatrix.arch import Interruption, Layout, ProgramCheck, bits, flag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = 4096
_WORD = struct.Struct(">Q")
_ENTRY_SIZE = 8
_INDICATED = b"\x01"
_HIGHEST_LARGE = 1  # frames of 1 MiB and 2 GiB
_NO_REGION = Interruption.SEGMENT_TRANSLATION  # region exceptions have codes of their own; Linux treats all alike


class Asce(Layout, width=64):
    """Address-space-control element: where a translation starts."""

    real_space = flag(58)
    levels = bits(60, 61)  # region tables to go through: 3 (first) to 0 (segment table only)
    length = bits(62, 63)  # in units of 512 entries, less one


class TableEntry(Layout, width=64):
    """An entry of a region or segment table."""

    large = flag(53)  # FC: designates storage, not a table
    protected = flag(54)
    no_execution = flag(55)  # of a frame of 1 MiB or 2 GiB
    offset = bits(56, 57)  # TF: first unit of 512 entries that the next table has
    invalid = flag(58)
    kind = bits(60, 61)  # TT: the level of the table that the entry is in
    length = bits(62, 63)


class PageEntry(Layout, width=64):
    """An entry of a page table."""

    invalid = flag(53)
    protected = flag(54)
    no_execution = flag(55)


def make_storage(size: int) -> int:
    """A descriptor of new shared memory of ``size`` bytes, all zero, that can never become shorter."""
    descriptor = os.memfd_create("apmatrix-guest", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _require_lasting(fd: int, size: int) -> None:
    try:
        sealed = bool(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)
    except OSError:  # not shared memory
        sealed = False
    if not sealed:
        raise ValueError("the storage is not shared memory that is sealed against shrinking: F_SEAL_SHRINK")
    if os.fstatvfs(fd).f_bsize != mmap.PAGESIZE:
        raise ValueError("the storage is made of huge pages, which can run out")
    there = os.fstat(fd).st_size
    if not 0 < size <= there:
        raise ValueError(f"the storage has {there} bytes, not {size}")


class Storage:
    """The guest's absolute storage. Numbers are big-endian.

    It is a file of ``size`` bytes that QEMU maps too; ``fd`` is a descriptor of it. ValueError unless the file is one
    of :func:`make_storage`, or like it: of another, whoever shares it could take pages away, and Linux would end the
    process that touches them.
    """

    def __init__(self, fd: int, size: int) -> None:
        _require_lasting(fd, size)
        self.size = size
        self._map = mmap.mmap(fd, size)
        self.fd = os.dup(fd)

    def close(self) -> None:
        """Unmap; the storage cannot be used any more."""
        self._map.close()
        os.close(self.fd)

    def check(self, address: int, length: int) -> None:
        """ProgramCheck (addressing) if the bytes are not all in storage."""
        if not 0 <= address <= self.size - length:
            raise ProgramCheck(Interruption.ADDRESSING, f"{length} bytes at {address:#x} are outside of the storage")

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes at absolute ``address``; ProgramCheck (addressing) outside of the storage."""
        self.check(address, length)
        return self._map[address : address + length]

    def write(self, address: int, data: bytes) -> None:
        """Store at absolute ``address``; ProgramCheck (addressing) outside of the storage."""
        self.check(address, len(data))
        self._map[address : address + len(data)] = data

    def word(self, address: int) -> int:
        """The doubleword at absolute ``address``."""
        self.check(address, _WORD.size)
        return int(_WORD.unpack_from(self._map, address)[0])

    def store_word(self, address: int, value: int) -> None:
        """Store a doubleword at absolute ``address``."""
        self.check(address, _WORD.size)
        _WORD.pack_into(self._map, address, value)


class AddressSpace:
    """Logical storage under an address-space-control element: the ``Memory`` of AP instructions.

    Translations are cached, so an instance must not outlive the instruction that it is for.
    """

    def __init__(self, storage: Storage, asce: int) -> None:
        self.storage = storage
        self.asce = Asce(asce)
        self._pages: dict[int, PageEntry] = {}

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes at logical ``address``; raises ProgramCheck where translation fails."""
        return b"".join(
            self.storage.read(absolute, size) for absolute, size in self._pieces(address, length, store=False)
        )

    def write(self, address: int, data: bytes) -> None:
        """Store at logical ``address``; raises ProgramCheck and stores nothing where translation fails."""
        offset = 0
        for absolute, size in list(self._pieces(address, len(data), store=True)):
            self.storage.write(absolute, data[offset : offset + size])
            offset += size

    def check_store(self, address: int, length: int) -> None:
        """Raise the ProgramCheck that a store at logical ``address`` would, without storing."""
        for _ in self._pieces(address, length, store=True):
            pass

    def indicator(self, address: int) -> Callable[[], None] | None:
        """A function that sets the notification byte at *absolute* ``address``; None outside storage."""
        if not 0 <= address < self.storage.size:
            return None
        return lambda: self.storage.write(address, _INDICATED)

    def translate(self, address: int, *, store: bool = False) -> int:
        """The absolute address; raises ProgramCheck with the exception that the processor would give."""
        if self.asce.real_space:
            return address
        number = address // PAGE
        page = self._pages.get(number) or self._pages.setdefault(number, self.page(address))
        if page.invalid:
            raise _translation(Interruption.PAGE_TRANSLATION, address)
        if store and page.protected:
            raise ProgramCheck(Interruption.PROTECTION, f"the page at {address:#x} is protected")
        return page.value & -PAGE | address % PAGE

    def page(self, address: int) -> PageEntry:
        """The page-table entry of a logical address; of a large frame, one as if it had small pages.

        Raises ProgramCheck where the higher tables have no entry.
        """
        table, offset, length = self.asce.value & -PAGE, 0, self.asce.length
        if address >> (31 + 11 * self.asce.levels):
            raise _translation(_NO_REGION, address)
        protected = False
        for level in range(self.asce.levels, -1, -1):
            shift = 20 + 11 * level
            index = address >> shift & 0x7FF
            if not offset <= index >> 9 <= length:
                raise _translation(_NO_REGION, address)
            entry = TableEntry(self.storage.word(table + index * _ENTRY_SIZE))
            if entry.invalid:
                raise _translation(_NO_REGION, address)
            protected |= entry.protected
            if entry.large and level <= _HIGHEST_LARGE:
                size = 1 << shift
                frame = entry.value & -size | address & size - PAGE
                return PageEntry(frame, protected=protected, no_execution=entry.no_execution)
            table, offset, length = entry.value & (-PAGE if level else -PAGE // 2), entry.offset, entry.length
        page = PageEntry(self.storage.word(table + (address >> 12 & 0xFF) * _ENTRY_SIZE))
        return page.replace(protected=page.protected or protected)

    def _pieces(self, address: int, length: int, *, store: bool) -> Iterator[tuple[int, int]]:
        """Absolute addresses and lengths of the pages' parts; raises ProgramCheck."""
        end = address + length
        while address < end:
            size = min(end - address, PAGE - address % PAGE)
            absolute = self.translate(address, store=store)
            self.storage.check(absolute, size)
            yield absolute, size
            address += size


def _translation(code: Interruption, address: int) -> ProgramCheck:
    return ProgramCheck(code, f"nothing is mapped at {address:#x}")
