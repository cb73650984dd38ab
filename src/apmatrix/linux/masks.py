"""The text forms of the AP bus masks (BUS-30 to BUS-32)."""

from __future__ import annotations

import re

from apmatrix.arch import ALL_BITS, Mask
from apmatrix.arch.mask import WIDTH
from apmatrix.linux import numbers
from apmatrix.linux.errors import BadValue, quoted

_ABSOLUTE = re.compile(r"(?:0x|x)?([0-9a-fA-F]*)\n?")


def parse_absolute(text: str) -> Mask:
    """BUS-31: hexadecimal digits from the left, missing ones are 0; none at all is the empty mask."""
    found = _ABSOLUTE.fullmatch(text)
    if not found or len(found[1]) > WIDTH // 4:
        raise BadValue(
            f"{quoted(text)} is not a mask", remedy="write 0x and up to 64 hexadecimal digits, or terms such as +5,-6"
        )
    return Mask(int(found[1].ljust(WIDTH // 4, "0") or "0", 16))


def parse_relative(text: str, current: Mask) -> Mask:
    """BUS-32: terms ``+n``, ``-n``, ``+n-m`` applied to ``current``, later ones win. Raises BadValue."""
    position = 0
    mask = current
    while position < len(text):
        sign = text[position]
        if sign not in "+-":
            raise BadValue(
                f"{quoted(text)}: {sign!r} stands where + or - is needed", remedy="write terms such as +5,-6"
            )
        first, position = _bit(text, position + 1)
        last = first
        if text[position : position + 1] == "-":
            last, position = _bit(text, position + 1)
        if last < first:
            raise BadValue(f"{quoted(text)}: the range {first}-{last} ends before it begins")
        term = Mask.up_to(last) - Mask.up_to(first - 1)
        mask = mask | term if sign == "+" else mask - term
        while text[position : position + 1] in (",", "\n"):
            position += 1
    return mask


def _bit(text: str, start: int) -> tuple[int, int]:
    number, end = numbers.simple(text, start)
    if end == start or number >= WIDTH:
        raise BadValue(f"{quoted(text)}: a number from 0 to {WIDTH - 1} is missing at position {start + 1}")
    return number, end


def parse(text: str, current: Mask) -> Mask:
    """A mask write: the first character decides between the two forms (BUS-30). Raises BadValue."""
    return parse_relative(text, current) if text[:1] in ("+", "-") and text else parse_absolute(text)


def parse_boot_parameter(text: str) -> Mask:
    """A mask on the kernel command line: relative to all zeros, and zeros on any error (BUS-3)."""
    try:
        return parse(text, Mask())
    except BadValue:
        return Mask()


def full(text: str | None) -> Mask:
    """The mask of a boot parameter, all ones if there is none."""
    return ALL_BITS if text is None else parse_boot_parameter(text)
