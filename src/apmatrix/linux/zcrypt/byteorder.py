"""The byte order of the structures that a program passes to the kernel.

Structures are declared once, as layouts. A big-endian program, such as one for s390x, has them in storage as they are
declared. In a little-endian one everything counts from the other end: numbers have their low byte first, and
compilers fill bit-fields from the low bit on; so bit n of the declaration is bit n from the right of the structure
read as one little-endian number.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from apmatrix.arch import Layout

if TYPE_CHECKING:
    from apmatrix.arch.layout import Field

L = TypeVar("L", bound=Layout)


class ByteOrder(Enum):
    """Byte order of a program; the value is Python's name for it."""

    BIG = "big"
    LITTLE = "little"

    def parse(self, kind: type[L], data: bytes) -> L:
        """Read a structure all of whose bytes are declared; ValueError if ``data`` is too short."""
        if self is ByteOrder.BIG:
            return kind.parse(data)
        if len(data) < kind.SIZE:
            raise ValueError(f"{kind.__name__} needs {kind.SIZE} bytes, got {len(data)}")
        number = int.from_bytes(data[: kind.SIZE], "little")
        fields = kind.FIELDS.items()
        return kind(**{name: item.decode((number >> item.first) & (item.limit - 1)) for name, item in fields})

    def dump(self, block: Layout) -> bytes:
        """The structure's bytes as a program of this byte order has them in storage."""
        if self is ByteOrder.BIG:
            return bytes(block)
        number = sum(_content(block, item) << item.first for item in type(block).FIELDS.values())
        return number.to_bytes(block.SIZE, "little")

    def number(self, value: int, size: int) -> bytes:
        """A number of ``size`` bytes."""
        return value.to_bytes(size, "big" if self is ByteOrder.BIG else "little")


def _content(block: Layout, item: Field[int]) -> int:
    return (block.value >> item.shift) & (item.limit - 1)
