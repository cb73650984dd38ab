"""The number grammars of sysfs attributes (host.md section 0: N1 to N4)."""

from __future__ import annotations

import re
from typing import Final

from apmatrix.linux.errors import BadValue, TooLarge, quoted

LIMIT: Final = 1 << 64
"""Numbers are 64 bits wide."""

_STRICT = re.compile(r"\+?(?:0[xX](?P<hex>[0-9a-fA-F]+)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*))")
_SIMPLE = re.compile(r"0[xX](?P<hex>[0-9a-fA-F]+)|(?P<octal>0[0-7]*)|(?P<decimal>[1-9][0-9]*)")
_BLANKS = r"[ \t-\r\xa0]*"  # what the kernel takes for white space
_SCANF_DECIMAL = re.compile(_BLANKS + r"(?P<sign>-?)(?P<decimal>[0-9]+)")
_SCANF_ANY = re.compile(_BLANKS + f"(?P<sign>-?)(?:{_SIMPLE.pattern})")


def _value(found: re.Match[str]) -> int:
    if found["hex"]:
        return int(found["hex"], 16)
    return int(found["octal"], 8) if found["octal"] else int(found["decimal"])


def strict(text: str) -> int:
    """N1: ``5``, ``0x5``, ``05``, ``+5``, with one newline at most. Raises BadValue, TooLarge."""
    found = _STRICT.match(text)
    if not found:
        raise BadValue(f"{quoted(text)} is not a number", remedy="write one such as 4, 0xab or 0253")
    value = _value(found)
    if value >= LIMIT:
        raise TooLarge(f"{found[0]} does not fit 64 bits", remedy="write a smaller number")
    if text[found.end() :] not in ("", "\n"):
        raise BadValue(f"{quoted(text)} has something behind the number", remedy="write the number alone")
    return value


def scanned(text: str, *, any_base: bool = False) -> int:
    """N2: leading blanks are skipped, what follows the number is ignored. Raises BadValue.

    The result is a C int: of a longer number the low 32 bits count, of one that is over-long as in N4 those of
    2^64 - 1.
    """
    found = (_SCANF_ANY if any_base else _SCANF_DECIMAL).match(text)
    if not found:
        raise BadValue(f"{quoted(text)} is not a number", remedy="write a decimal number")
    value = min(_value(found) if any_base else int(found["decimal"]), LIMIT - 1)
    return _as_int(-value if found["sign"] else value)


def _as_int(value: int) -> int:
    return (value + 0x8000_0000) % 0x1_0000_0000 - 0x8000_0000


def boolean(text: str) -> bool:
    """N3: judged by the first character, ``on`` and ``of`` by the first two. Raises BadValue."""
    first = text[:1]
    if first and first in "yYtT1eE":
        return True
    if first and first in "nNfF0dD":
        return False
    word = text[:2].lower()
    if word in ("on", "of"):
        return word == "on"
    raise BadValue(f"{quoted(text)} is neither on nor off", remedy="write 1 or 0")


def simple(text: str, start: int) -> tuple[int, int]:
    """N4: the number at ``start`` of ``text`` and where it ends. No digits: 0 and ``start``.

    An over-long number counts as 2^64 - 1 and is so always too large.
    """
    found = _SIMPLE.match(text, start)
    if not found:
        return 0, start
    return min(_value(found), LIMIT - 1), found.end()
