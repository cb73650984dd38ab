"""Numbers that are read otherwise than their writer may have meant them.

The kernel takes a leading ``0`` for octal and ``0x`` for hexadecimal, and prints adapters and domains in hexadecimal
without either. Digits that are copied from its output are then another number, or none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from apmatrix.arch.mask import WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.arch import Apqn

_OCTAL = re.compile(r"(?<![0-9A-Za-z])0[0-7]+(?![0-9A-Za-z])")


_NUMBERED_WORDS = re.compile(r"(?<!\S)(adapter|domain)=(\S+)")


class Doubt(NamedTuple):
    """How something is read, what else may be meant, and what to write for each."""

    text: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.text}: {self.remedy}"


def octal_doubts(text: str, what: str = "domain") -> Iterator[Doubt]:
    """The octal numbers in ``text`` that would be another number without their zeros; ``what`` they number.

    ``0047`` is octal 39, while the domain that Linux prints as ``0047`` is 71. Octal numbers that are the same in
    every notation, such as ``05``, raise no doubt.
    """
    for word in dict.fromkeys(_OCTAL.findall(text)):
        digits = word.lstrip("0")
        value = int(word, 8)
        if value == int(digits or "0") or value >= WIDTH:
            continue
        copied = int(digits, 16)
        ways = [str(each) for each in (value, int(digits)) if each < WIDTH] + [f"0x{digits}"] * (copied < WIDTH)
        other = f"{what} 0x{digits} is {copied}" if copied < WIDTH else f"in hexadecimal it is 0x{value:x}"
        more = (
            f"{', '.join(ways[:-1])} or {ways[-1]}, whichever is meant"
            if len(ways) > 1
            else f"{value} if that is meant"
        )
        yield Doubt(f"{word} is octal {value}; {other}", f"write {more}")


def fault_doubts(words: str) -> Iterator[Doubt]:
    """The same about the words of a fault, which number adapters and domains: ``adapter=5 domain=0047``."""
    for what, text in _NUMBERED_WORDS.findall(words):
        yield from octal_doubts(text, what)


def apqn_doubt(text: str, apqn: Apqn) -> str:
    """The other reading of an APQN whose digits may be decimal: ``05.0071 is domain 113; domain 71 is 05.0047``.

    Empty if its digits can be hexadecimal only, or mean the same in both.
    """
    parts = text.strip().split(".")
    if len(parts) != 2 or not all(re.fullmatch(r"[0-9]+", part) for part in parts):
        return ""
    adapter, domain = map(int, parts)
    if (adapter, domain) == apqn or max(adapter, domain) >= WIDTH:
        return ""
    names = [("adapter", apqn.adapter, adapter), ("domain", apqn.domain, domain)]
    read = " and ".join(f"{what} {is_}" for what, is_, other in names if is_ != other)
    meant = " and ".join(f"{what} {other}" for what, is_, other in names if is_ != other)
    return f"{apqn} is {read}; {meant} is {type(apqn)(adapter, domain)}"
