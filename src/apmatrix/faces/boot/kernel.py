"""Finds, in a kernel without symbols, what handles its program interruptions.

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
    from apmatrix.arch import Interruption
    from apmatrix.faces.boot.storage import Storage

REACH = 48 << 20
"""Bytes on each side of an address in the kernel's image within which the table is sought."""

_SLOTS = 128
_TABLE = struct.Struct(f">{_SLOTS}Q")
_UNUSED = range(0x41, _SLOTS)
_ALIKE = ((0x08, 0x0A), (0x09, 0x0B), (0x10, 0x11))  # fixed and decimal overflow, divides, translations
_ALONE = (0x01, 0x02, 0x05, 0x06)  # operation, privileged operation, addressing, specification
_STRIDE = 256  # half of the unused slots' room: a probe at each multiple meets them


@dataclass(frozen=True, slots=True)
class Handlers:
    """Addresses of the handlers, as the kernel calls them; ``table`` is where they are in absolute storage."""

    table: int
    addresses: tuple[int, ...]

    def of(self, code: Interruption) -> int:
        """The handler of a program-interruption code."""
        return self.addresses[code]

    def replace(self, storage: Storage, code: Interruption, handler: int) -> None:
        """Let the kernel call another handler for this code; :meth:`of` keeps giving the kernel's own."""
        storage.store_word(self.table + code * 8, handler)

    @classmethod
    def find(cls, storage: Storage, absolute: int, logical: int) -> Self:
        """Search around a place in the kernel's image, given by both addresses; KernelError if there is no table."""
        first = max(0, absolute - REACH) // _STRIDE * _STRIDE
        image = storage.read(first, min(storage.size, absolute + REACH) - first)
        for probe in range(0, len(image) - _STRIDE, _STRIDE):
            if image[probe : probe + 8] != image[probe + 8 : probe + 16]:
                continue
            start = _run_start(image, probe) - _UNUSED.start * 8
            if 0 <= start <= len(image) - _TABLE.size:
                slots = _TABLE.unpack_from(image, start)
                if _are_handlers(slots, logical):
                    return cls(first + start, slots)
        raise KernelError(
            "this kernel's table of program-interruption handlers was not found: AP instructions cannot be"
            " intercepted in it; use a Debian kernel of version 6.1 to 7.2 (--kernel)"
        )


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
