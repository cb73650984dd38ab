"""The fast way of interception: a handler of our own in the guest, which talks to us through storage.

The guest's kernel is told to leave the last megabyte of its storage alone (``mem=``). We put a short program there,
map it where the kernel's address space is empty, and let the kernel's table of handlers designate it. For each
operation exception it writes the address of the interrupted program's registers into its processor's slot and waits
for our answer: the machine never stops, there is no breakpoint, and it works alike with every QEMU.

What is in the reserved storage::

    +0000  the program, read-only
    +1000  slots of 128 bytes, one per processor address; not executable where the kernel knows such pages
    +2000  page table, then the segment and region tables above it, which map the two pages

A slot: 0 state (4 bytes: idle, asked, answered) · 8 address of pt_regs · 16 control registers 1 to 13 ·
120 answer: the handler to go on with, 0 to return to the interrupted program.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from apmatrix.faces.boot.errors import KernelError
from apmatrix.faces.boot.storage import PAGE, Asce, PageEntry, TableEntry

if TYPE_CHECKING:
    from apmatrix.faces.boot.storage import AddressSpace, Storage

RESERVED = 1 << 20
"""Bytes at the end of the guest's storage that its kernel must not use."""

SLOT = 128
MAX_PROCESSORS = PAGE // SLOT

PROGRAM = bytes.fromhex(
    "acfcf080"  # start: stnsm 128(%r15),0xfc -- no interruptions: they could execute AP instructions
    "b212f082"  # stap 130(%r15)
    "e310f0820091"  # llgh %r1,130(%r15)
    "eb110007000d"  # sllg %r1,%r1,7
    "c030000007f6"  # larl %r3,start+4096
    "b9080013"  # agr %r1,%r3 -- %r1: this processor's slot
    "e32010080024"  # stg %r2,8(%r1)
    "eb1d10100025"  # stctg %c1,%c13,16(%r1)
    "e54c10000001"  # mvhi 0(%r1),1 -- asked
    "07f0"  # again: bcr 15,%r0
    "e55d10000002"  # clfhsi 0(%r1),2
    "a744fffc"  # jl again -- until answered
    "e33010780004"  # lg %r3,120(%r1)
    "e54c10000000"  # mvhi 0(%r1),0 -- idle
    "8000f080"  # ssm 128(%r15)
    "b9020033"  # ltgr %r3,%r3
    "078e"  # bzr %r14
    "07f3"  # br %r3
)
"""What the guest executes, assembled from tests/data/mailbox.s."""

_CONTROL = struct.Struct(">13Q")
_ENTRIES = 2048
_UNIT = 512  # entries per unit of a table's length
_ASKED = (1).to_bytes(4, "big")
_ANSWERED = (2).to_bytes(4, "big")
_STATE, _FRAME, _CONTROL_1, _ANSWER = 0, 8, 16, 120


@dataclass(frozen=True, slots=True)
class PendingException:
    """An operation exception that waits in a processor's slot."""

    slot: int
    frame: int
    control: tuple[int, ...]  # registers 1 to 13


class Mailbox:
    """The slots of a guest's processors. ``entry`` is the program's logical address in the kernel."""

    def __init__(self, storage: Storage, base: int, entry: int, processors: int) -> None:
        self.entry = entry
        self._storage = storage
        self._slots = [base + PAGE + number * SLOT for number in range(processors)]

    @classmethod
    def install(cls, space: AddressSpace, frame: int, processors: int) -> Mailbox:
        """Put program and tables into the reserved storage and map them into the kernel's address space.

        ``frame`` is a logical address of the kernel's data. Raises KernelError if this kernel uses the reserved
        storage or has no room in its address space.
        """
        storage = space.storage
        base = storage.size - RESERVED
        if processors > MAX_PROCESSORS:
            raise KernelError(f"a guest can have up to {MAX_PROCESSORS} processors")
        if any(storage.read(base, RESERVED)):
            raise KernelError("this kernel uses storage that mem= takes away from it")
        storage.write(base, PROGRAM)
        data = PageEntry(base + PAGE, no_execution=space.page(frame).no_execution)
        pages = (PageEntry(base, protected=True), data)
        return cls(storage, base, _map(space, base + 2 * PAGE, pages), processors)

    def pending(self) -> list[PendingException]:
        """The exceptions that wait for an answer."""
        read, size = self._storage.read, _CONTROL.size
        return [
            PendingException(slot, self._storage.word(slot + _FRAME), _CONTROL.unpack(read(slot + _CONTROL_1, size)))
            for slot in self._slots
            if read(slot + _STATE, 4) == _ASKED
        ]

    def answer(self, pending: PendingException, handler: int) -> None:
        """Let the processor go on: with a handler of the kernel, or with 0 in the interrupted program."""
        self._storage.store_word(pending.slot + _ANSWER, handler)
        self._storage.write(pending.slot + _STATE, _ANSWERED)


def _map(space: AddressSpace, tables: int, pages: tuple[PageEntry, ...]) -> int:
    """Build tables for ``pages`` and link them into the top table; returns their logical address."""
    storage = space.storage
    for number, page in enumerate(pages):
        storage.store_word(tables + number * 8, page.value)
    for number in range(len(pages), 256):
        storage.store_word(tables + number * 8, PageEntry(invalid=True).value)
    lower, tables = TableEntry(tables), tables + PAGE
    for level in range(space.asce.levels):
        for number in range(_ENTRIES):
            storage.store_word(tables + number * 8, TableEntry(invalid=True, kind=level).value)
        storage.store_word(tables, lower.value)
        lower = TableEntry(tables, kind=level + 1, length=3)
        tables += _ENTRIES * 8
    index = _free_entry(storage, space.asce)
    storage.store_word((space.asce.value & -PAGE) + index * 8, lower.value)
    return index << 20 + 11 * space.asce.levels


def _free_entry(storage: Storage, asce: Asce) -> int:
    """The middle of the longest run of invalid entries in the top table: far from what the kernel will use."""
    origin = asce.value & -PAGE
    count = (asce.length + 1) * _UNIT
    invalid = [TableEntry(storage.word(origin + index * 8)).invalid for index in range(count)]
    runs = [(len(run := list(group)), run[0]) for free, group in groupby(range(count), invalid.__getitem__) if free]
    if not runs:
        raise KernelError("this kernel's address space has no room for the bridge")
    length, start = max(runs)
    return start + length // 2
