"""The text forms of sysfs: numbers (host.md section 0), masks (BUS-30 to BUS-32), matrices (MTX-40 to MTX-46).

Text is read as Linux reads it. ``Mask.parse_ids`` reads the numbers and ranges that users write in files and options.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from apmatrix.arch import ALL_BITS, Mask, Matrix
from apmatrix.arch.mask import WIDTH
from apmatrix.rules.refusals import BadValue, TooLarge, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

# numbers

LIMIT: Final = 1 << 64
"""Numbers are 64 bits wide."""

_STRICT = re.compile(r"\+?(?:0[xX](?P<hex>[0-9a-fA-F]+)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*))")
_SIMPLE = re.compile(r"0[xX](?P<hex>[0-9a-fA-F]+)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*)")
BLANKS: Final = " \t\n\v\f\r\xa0"
"""What the kernel considers white space."""

_SCANF_DECIMAL = re.compile(rf"[{BLANKS}]*(?P<sign>-?)(?P<decimal>[0-9]+)")
_SCANF_ANY = re.compile(rf"[{BLANKS}]*(?P<sign>-?)(?:{_SIMPLE.pattern})")


def _value(found: re.Match[str]) -> int:
    if found["hex"]:
        return int(found["hex"], 16)
    return int(found["octal"], 8) if found["octal"] else int(found["decimal"])


def strict_number(text: str) -> int:
    """Read ``5``, ``0x5``, ``05`` or ``+5``, with at most one newline (N1). Raises BadValue, TooLarge."""
    found = _STRICT.match(text)
    if not found:
        raise BadValue(f"{quoted(text)} is not a number", remedy="write one such as 4, 0xab or 0253")
    value = _value(found)
    if value >= LIMIT:
        raise TooLarge(f"{found[0]} does not fit 64 bits", remedy="write a smaller number")
    if text[found.end() :] not in ("", "\n"):
        raise BadValue(f"{quoted(text)} has trailing text after the number", remedy="write the number alone")
    return value


def scanned_number(text: str, *, any_base: bool = False) -> int:
    """Read a number, skipping leading blanks and ignoring what follows it (N2). Raises BadValue.

    The result is a C int: the low 32 bits of the number, or those of 2^64 - 1 if it is over-long as in N4.
    """
    found = (_SCANF_ANY if any_base else _SCANF_DECIMAL).match(text)
    if not found:
        raise BadValue(f"{quoted(text)} is not a number", remedy="write a decimal number")
    value = min(_value(found) if any_base else int(found["decimal"]), LIMIT - 1)
    return _as_int(-value if found["sign"] else value)


def _as_int(value: int) -> int:
    return (value + 0x8000_0000) % 0x1_0000_0000 - 0x8000_0000


def boolean(text: str) -> bool:
    """Read a boolean by its first character, ``on`` and ``of`` by the first two (N3). Raises BadValue."""
    first = text[:1]
    if first and first in "yYtT1eE":
        return True
    if first and first in "nNfF0dD":
        return False
    word = text[:2].lower()
    if word in ("on", "of"):
        return word == "on"
    raise BadValue(f"{quoted(text)} is neither on nor off", remedy="write 1 or 0")


def number_at(text: str, start: int) -> tuple[int, int]:
    """The number at ``start`` of ``text`` and where it ends; 0 and ``start`` if there are no digits (N4).

    An over-long number counts as 2^64 - 1, so it is always too large.
    """
    found = _SIMPLE.match(text, start)
    if not found:
        return 0, start
    return min(_value(found), LIMIT - 1), found.end()


# masks of the bus

_ABSOLUTE = re.compile(r"(?:0x|x)?([0-9a-fA-F]*)\n?")


def absolute_mask(text: str) -> Mask:
    """Read hexadecimal digits from the left; missing ones are 0, none at all is the empty mask (BUS-31)."""
    found = _ABSOLUTE.fullmatch(text)
    if not found or len(found[1]) > WIDTH // 4:
        raise BadValue(
            f"{quoted(text)} is not a mask", remedy="write 0x and up to 64 hexadecimal digits, or terms such as +5,-6"
        )
    return Mask(int(found[1].ljust(WIDTH // 4, "0") or "0", 16))


def relative_mask(text: str, current: Mask) -> Mask:
    """Apply the terms ``+n``, ``-n``, ``+n-m`` to ``current``; later ones win (BUS-32). Raises BadValue."""
    position = 0
    mask = current
    while position < len(text):
        sign = text[position]
        if sign not in "+-":
            raise BadValue(f"{quoted(text)}: {sign!r} is where + or - is needed", remedy="write terms such as +5,-6")
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
    number, end = number_at(text, start)
    if end == start or number >= WIDTH:
        raise BadValue(f"{quoted(text)}: a number from 0 to {WIDTH - 1} is missing at position {start + 1}")
    return number, end


def written_mask(text: str, current: Mask) -> Mask:
    """A mask write: the first character decides between the two forms (BUS-30). Raises BadValue."""
    return relative_mask(text, current) if text[:1] in ("+", "-") and text else absolute_mask(text)


def mask_parameter(text: str) -> Mask:
    """A mask on the kernel command line: relative to all zeros, and zeros on any error (BUS-3)."""
    try:
        return written_mask(text, Mask())
    except BadValue:
        return Mask()


def boot_mask(text: str | None) -> Mask:
    """The mask of a boot parameter, all ones if there is none."""
    return ALL_BITS if text is None else mask_parameter(text)


# attributes of an mdev

CONFIG_LENGTH = 201
"""Bytes of a full ap_config value: three masks of 66, two commas, a newline."""


def matrix_text(matrix: Matrix, longest: int | None) -> str:
    """The lines of ``matrix`` and ``guest_matrix``, cut at ``longest`` bytes (MTX-40, MTX-41)."""
    text = "".join(_matrix_lines(matrix))
    return text if longest is None else text[:longest]


def _matrix_lines(matrix: Matrix) -> Iterator[str]:
    if matrix.apm and matrix.aqm:
        return (f"{apqn}\n" for apqn in matrix.apqns())
    if matrix.apm:
        return (f"{adapter:02x}.\n" for adapter in matrix.apm)
    return (f".{domain:04x}\n" for domain in matrix.aqm)


def control_domains_text(domains: Mask) -> str:
    """The lines of ``control_domains`` (MTX-42)."""
    return "".join(f"{domain:04x}\n" for domain in domains)


def ap_config_text(matrix: Matrix) -> str:
    """The value of ``ap_config`` (MTX-45)."""
    return f"{matrix.apm},{matrix.aqm},{matrix.adm}\n"


def parse_ap_config(text: str) -> Matrix:
    """Read an ``ap_config`` write (MTX-46). Raises BadValue."""
    pieces = re.split("([,\n])", text[:CONFIG_LENGTH])
    fields = pieces[0::2]
    ended = len(pieces) // 2
    if ended < 2:
        raise BadValue(
            f"{quoted(text)} has fewer than three masks",
            remedy="write adapters, domains and control domains with commas",
        )
    return Matrix(*(absolute_mask(field) for field in fields[:3]))
