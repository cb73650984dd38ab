"""256-bit masks over adapters or domains; bit 0 is the leftmost one."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final

from apmatrix.arch.arguments import checked, wrong_type
from apmatrix.arch.errors import BadText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WIDTH: Final = 256
"""Bits of every mask: adapters and domains are numbered 0 to 255."""

_FULL: Final = (1 << WIDTH) - 1
_TOP: Final = 1 << (WIDTH - 1)
BITS: Final = {number: _TOP >> number for number in range(WIDTH)}
"""The value of each mask that has one bit, by the number of the bit."""


class Mask:
    """An immutable set of numbers 0-255, printed the way IBM and Linux print it (MTX-45, host.md section 0).

    Set operations take constant time: a mask is one Python int. ``Mask.of(5, 6)`` makes one from numbers,
    ``Mask.parse_ids("5,6,0x20-0x2f")`` from text as users write it, ``Mask.parse_hex("0x06…")`` from the
    digits of sysfs.
    """

    __slots__ = ("value",)

    value: int

    def __init__(self, value: int = 0) -> None:
        if not isinstance(value, int):
            raise wrong_type("Mask", "value", int, value)
        if not 0 <= value <= _FULL:
            raise ValueError(f"a mask has {WIDTH} bits")
        object.__setattr__(self, "value", value)

    def __setattr__(self, name: str, content: object) -> None:
        raise AttributeError("a Mask is a value")

    @classmethod
    def of(cls, *numbers: int) -> Mask:
        """The mask with these bits; ValueError for a number outside 0-255."""
        value = 0
        for index, number in enumerate(numbers):
            if not isinstance(number, int):
                raise wrong_type("Mask.of", f"numbers[{index}]", int, number)
            if not 0 <= number < WIDTH:
                raise ValueError(f"{number} is outside 0-{WIDTH - 1}")
            value |= BITS[number]
        return cls(value)

    @classmethod
    def up_to(cls, last: int) -> Mask:
        """Bits 0 to ``last``, included; all of them for 255 and more, none for a negative number."""
        if not isinstance(last, int):
            raise wrong_type("Mask.up_to", "last", int, last)
        count = max(0, min(last + 1, WIDTH))
        return cls(_FULL ^ (_FULL >> count))

    @classmethod
    @checked
    def parse_hex(cls, text: str) -> Mask:
        """Read ``0x`` and up to 64 digits, the leftmost digit being bits 0-3; ValueError otherwise."""
        digits = text[2:] if text[:2] in ("0x", "0X") else text
        if not re.fullmatch(r"[0-9a-fA-F]{1,64}", digits):
            raise ValueError(f"{text!r} is not a mask of up to 64 hexadecimal digits")
        return cls(int(digits.ljust(64, "0"), 16))

    @classmethod
    @checked
    def parse_ids(cls, text: str) -> Mask:
        """Read numbers and ranges (``4,0xab,0253,1-3``); ValueError names the part that is wrong."""
        numbers: list[int] = []
        for part in (piece.strip() for piece in text.split(",") if piece.strip()):
            first, dash, last = part.partition("-")
            if dash and not (first and last):
                raise BadText(f"{_shown(part)} is not a range such as 1-3")
            start = parse_number(first)
            end = parse_number(last) if dash else start
            if end < start:
                raise ValueError(f"{_shown(part)}: the range ends before it begins")
            numbers.extend(range(start, end + 1))
        return cls.of(*numbers)

    @classmethod
    def from_bytes(cls, data: bytes) -> Mask:
        """Read up to 32 bytes; missing bytes on the right are zero."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise wrong_type("Mask.from_bytes", "data", bytes, data)
        return cls(int.from_bytes(data[:32].ljust(32, b"\0"), "big"))

    def to_bytes(self) -> bytes:
        """The mask's 32 bytes."""
        return self.value.to_bytes(WIDTH // 8, "big")

    def __index__(self) -> int:
        return self.value

    def __contains__(self, number: int) -> bool:
        return self.value & BITS.get(number, 0) != 0

    def __iter__(self) -> Iterator[int]:
        return iter(_numbers(self.value))

    def __len__(self) -> int:
        return self.value.bit_count()

    def __bool__(self) -> bool:
        return self.value != 0

    def __and__(self, other: Mask) -> Mask:
        return Mask(self.value & other.value)

    def __or__(self, other: Mask) -> Mask:
        return Mask(self.value | other.value)

    def __xor__(self, other: Mask) -> Mask:
        return Mask(self.value ^ other.value)

    def __sub__(self, other: Mask) -> Mask:
        return Mask(self.value & ~other.value)

    def __invert__(self) -> Mask:
        return Mask(self.value ^ _FULL)

    def __le__(self, other: Mask) -> bool:
        return not self.value & ~other.value

    def overlaps(self, other: Mask) -> bool:
        """True if some number is in both."""
        return bool(self.value & other.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mask) and other.value == self.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __str__(self) -> str:
        return f"0x{self.value:064x}"

    def __repr__(self) -> str:
        return f"Mask.parse_ids({self.ranges()!r})"

    def ranges(self) -> str:
        """The numbers as users write them: ``4-6,10``; empty for an empty mask."""
        parts: list[str] = []
        numbers = list(self)
        start = 0
        for end, number in enumerate(numbers, 1):
            if end == len(numbers) or numbers[end] != number + 1:
                parts.append(f"{numbers[start]}-{number}" if end - start > 1 else str(number))
                start = end
        return ",".join(parts)


@functools.lru_cache(maxsize=4096)
def _numbers(value: int) -> tuple[int, ...]:
    found = []
    while value:
        top = value.bit_length() - 1
        found.append(WIDTH - 1 - top)
        value ^= 1 << top
    return tuple(found)


def parse_number(text: str, most: int = WIDTH - 1) -> int:
    """A number from 0 to ``most`` as the kernel takes it (``4``, ``0xab``, ``0253``); ValueError otherwise."""
    word = text.strip()
    if re.fullmatch(r"0[xX][0-9a-fA-F]+", word):
        number = int(word, 16)
    elif re.fullmatch(r"0[0-7]*", word):
        number = int(word, 8)
    elif re.fullmatch(r"[1-9][0-9]{0,30}", word):
        number = int(word)
    else:
        raise BadText(f"{_shown(text)} is not a number such as 4, 0xab or 0253", _meant(word))
    if number > most:
        raise ValueError(f"{_shown(word, str)} is outside 0-{most}")
    return number


def _shown(text: str, form: Callable[[str], str] = repr) -> str:
    return form(text if len(text) <= 40 else f"{text[:36]}...")


def _meant(word: str) -> str:
    """A hint: hexadecimal digits as Linux prints them need ``0x``, and octal ones end at 7."""
    digits = word.lstrip("0")
    if not re.fullmatch(r"[0-9a-fA-F]{1,2}", digits):
        return ""
    if digits.isdecimal():
        return f"a leading 0 means octal: did you mean {digits}, or 0x{digits} ({int(digits, 16)})?"
    return f"did you mean 0x{digits} ({int(digits, 16)})?"


NO_BITS: Final = Mask(0)
"""The empty mask."""

ALL_BITS: Final = Mask(_FULL)
"""All 256 bits."""
