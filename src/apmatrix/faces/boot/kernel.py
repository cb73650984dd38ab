"""Finds, in a kernel without symbols, the handlers of its program interruptions.

Every s390 kernel has a table of 128 handlers, one per program-interruption code, that it calls with the
interrupted program's registers. Its shape is unmistakable: the codes from 0x41 on have no meaning and share one
handler, and a few others share theirs. The handler of code 1 is where AP instructions arrive on a
processor that has none.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from apmatrix.faces.boot.errors import KernelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.arch import Interruption
    from apmatrix.faces.boot.storage import Storage

REACH = 48 << 20
"""Bytes on each side of an address in the kernel's image within which the table is searched for."""

_SLOTS = 128
_TABLE = struct.Struct(f">{_SLOTS}Q")
_UNUSED = range(0x41, _SLOTS)
_ALIKE = ((0x08, 0x0A), (0x09, 0x0B), (0x10, 0x11))  # fixed and decimal overflow, divides, translations
_ALONE = (0x01, 0x02, 0x05, 0x06)  # operation, privileged operation, addressing, specification
_PART = 1 << 20
_STRIDE = 256  # half of the unused slots' room: probes at its multiples cannot miss them


@dataclass(frozen=True, slots=True)
class Handlers:
    """Addresses of the handlers, as the kernel calls them; ``table`` is where they are in absolute storage."""

    table: int
    addresses: tuple[int, ...]

    def of(self, code: Interruption) -> int:
        """The handler of a program-interruption code."""
        return self.addresses[code]

    def replace(self, storage: Storage, code: Interruption, handler: int) -> None:
        """Let the kernel call another handler for this code; :meth:`of` still returns the kernel's own."""
        storage.store_word(self.table + code * 8, handler)

    @classmethod
    def find(cls, storage: Storage, absolute: int, logical: int) -> Self:
        """Search around a place in the kernel's image, given by both addresses; KernelError if there is no table."""
        for part in _outwards(absolute, storage.size):
            start = max(0, part - _TABLE.size)
            image = storage.read(start, min(storage.size, part + _PART + _TABLE.size) - start)
            if (found := _search(image, logical)) is not None:
                return cls(start + found, _TABLE.unpack_from(image, found))
        raise KernelError(
            "this kernel's table of program-interruption handlers was not found: AP instructions cannot be"
            " intercepted in it; use a Debian kernel of version 6.1 to 7.2 (--kernel)"
        )


def _outwards(absolute: int, size: int) -> Iterator[int]:
    """Where the parts of the image start, the nearest ones first: the table is rarely far away."""
    home = absolute // _PART * _PART
    yield home
    for distance in range(_PART, REACH, _PART):
        yield from (part for part in (home + distance, home - distance) if 0 <= part < size)


def _search(image: bytes, logical: int) -> int | None:
    """The table's offset in a part of the image."""
    words = memoryview(image).cast("Q")
    step = _STRIDE // words.itemsize
    for number, (word, follower) in enumerate(zip(words[::step], words[1::step], strict=False)):
        if not word == follower != 0:
            continue
        probe = number * _STRIDE
        start = _run_start(image, probe) - _UNUSED.start * 8
        if 0 <= start <= len(image) - _TABLE.size and _are_handlers(_TABLE.unpack_from(image, start), logical):
            return start
    return None


def _run_start(image: bytes, probe: int) -> int:
    """The first of the equal slots around ``probe``; a run longer than the table's is cut short."""
    sample = image[probe : probe + 8]
    first = max(0, probe - len(_UNUSED) * 8)
    start = probe
    while start - 8 >= first and image[start - 8 : start] == sample:
        start -= 8
    return start


def _are_handlers(slots: tuple[int, ...], logical: int) -> bool:
    """Whether these are a kernel's handlers, that is code of an image around a logical address."""
    default = slots[_UNUSED.start]
    return (
        all(slot == default for slot in (slots[0], *slots[_UNUSED.start :]))
        and all(slots[one] == slots[other] for one, other in _ALIKE)
        and all(slots.count(slots[code]) == 1 for code in _ALONE)
        and all(abs(slot - logical) < REACH and slot % 2 == 0 for slot in slots)
    )
