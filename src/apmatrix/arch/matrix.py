"""APQNs, and matrices of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from apmatrix.arch.arguments import checked, wrong_type
from apmatrix.arch.errors import BadText
from apmatrix.arch.mask import ALL_BITS, NO_BITS, WIDTH, Mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


_MASKS: Final = (Mask, Mask, Mask)
_NAMES: Final = ("apm", "aqm", "adm")
_APQN = re.compile(r"([0-9a-fA-F]{1,2})\.([0-9a-fA-F]{1,4})")
_NEAR_APQN = re.compile(r"(?:0[xX])?([0-9a-fA-F]+)[.,:]\s*(?:0[xX])?([0-9a-fA-F]+)")


class Apqn(NamedTuple):
    """The address of a queue: adapter (APID) and usage domain (APQI), printed ``05.00ab``."""

    adapter: int
    domain: int

    @classmethod
    @checked
    def parse(cls, text: str) -> Apqn:
        """Read ``05.00ab``, or ``5.ab``: up to two and four hexadecimal digits; ValueError otherwise."""
        found = _APQN.fullmatch(text.strip())
        if not found:
            shown = text if len(text) <= 40 else f"{text[:36]}..."
            sentence = f"{shown!r} is not an APQN such as 05.00ab (hexadecimal adapter.domain)"
            raise BadText(sentence, _meant(text[:40]))
        apqn = cls(*(int(part, 16) for part in found.groups()))
        if apqn.domain >= WIDTH:
            sentence = f"{text.strip()!r} is not an APQN: its domain 0x{apqn.domain:x} is outside 00-ff"
            raise BadText(sentence, _meant(text))
        return apqn

    @classmethod
    def from_code(cls, code: int) -> Apqn:
        """The APQN of a 16-bit number, adapter first."""
        if not isinstance(code, int):
            raise wrong_type("Apqn.from_code", "code", int, code)
        return cls(code >> 8 & 0xFF, code & 0xFF)

    @property
    def code(self) -> int:
        """The 16-bit number ``adapter << 8 | domain`` that registers carry."""
        return self.adapter << 8 | self.domain

    def __str__(self) -> str:
        return f"{self.adapter:02x}.{self.domain:04x}"


def _meant(text: str) -> str:
    """The APQN that a text may mean: in decimal, with ``0x``, with too many zeros or another sign between."""
    found = _NEAR_APQN.fullmatch(text.strip())
    if not found:
        return ""
    parts = found.groups()
    for base in (16, 10):
        if base == 16 or all(part.isdecimal() for part in parts):
            adapter, domain = (int(part, base) for part in parts)
            if adapter < WIDTH and domain < WIDTH:
                return f"did you mean {Apqn(adapter, domain)}?"
    return ""


def listed(apqns: Iterable[Apqn], most: int = 6, *, count: int | None = None) -> str:
    """APQNs for a sentence: ``05.0004, 05.0047 and 12 more``; ``count`` is their number, if more are not given."""
    rest = iter(apqns)
    shown = list(islice(rest, most))
    more = sum(1 for _ in rest) if count is None else count - len(shown)
    text = ", ".join(map(str, shown))
    return f"{text} and {more} more" if more else text


def queues_named(apqns: Sequence[Apqn]) -> str:
    """The subject of a sentence: ``queue 05.0004``, ``queues 05.0004, 05.0047``."""
    return f"queue{'s' * (len(apqns) != 1)} {listed(apqns, 3)}"


@dataclass(frozen=True, slots=True)
class Matrix:
    """Adapters (APM), usage domains (AQM) and control domains (ADM).

    The queues it gives access to are the product APM × AQM; single APQNs cannot be left out.
    """

    apm: Mask = NO_BITS
    aqm: Mask = NO_BITS
    adm: Mask = NO_BITS

    def __post_init__(self) -> None:
        masks: tuple[object, ...] = (self.apm, self.aqm, self.adm)
        if not all(map(isinstance, masks, _MASKS)):
            name, value = next(pair for pair in zip(_NAMES, masks, strict=True) if not isinstance(pair[1], Mask))
            raise wrong_type("Matrix", name, Mask, value)

    def __and__(self, other: Matrix) -> Matrix:
        """What both allow, mask by mask: how a SIE level narrows the one above it (KVM-40)."""
        return Matrix(self.apm & other.apm, self.aqm & other.aqm, self.adm & other.adm)

    def __or__(self, other: Matrix) -> Matrix:
        return Matrix(self.apm | other.apm, self.aqm | other.aqm, self.adm | other.adm)

    def __sub__(self, other: Matrix) -> Matrix:
        """The adapters and domains, mask by mask, that ``other`` does not have."""
        return Matrix(self.apm - other.apm, self.aqm - other.aqm, self.adm - other.adm)

    def __le__(self, other: Matrix) -> bool:
        return self.apm <= other.apm and self.aqm <= other.aqm and self.adm <= other.adm

    def __contains__(self, apqn: tuple[int, int]) -> bool:
        return apqn[0] in self.apm and apqn[1] in self.aqm

    def __len__(self) -> int:
        """How many APQNs the matrix gives access to."""
        return len(self.apm) * len(self.aqm)

    def apqns(self) -> Iterator[Apqn]:
        """All APQNs, adapters ascending, then domains."""
        domains = tuple(self.aqm)
        return (Apqn(adapter, domain) for adapter in self.apm for domain in domains)

    def shares_queues(self, other: Matrix) -> bool:
        """True if some APQN is in both; constant time, whatever the size of the matrices."""
        return self.apm.overlaps(other.apm) and self.aqm.overlaps(other.aqm)

    def shared(self, other: Matrix) -> Matrix:
        """The APQNs that are in both, as a matrix without control domains."""
        return Matrix(self.apm & other.apm, self.aqm & other.aqm)

    def queues_beyond(self, other: Matrix) -> Iterator[Apqn]:
        """The APQNs that ``other`` does not have; the cost depends on their number, not on the matrices' size."""
        yield from Matrix(self.apm - other.apm, self.aqm).apqns()
        yield from Matrix(self.apm & other.apm, self.aqm - other.aqm).apqns()

    def describe(self) -> str:
        """The matrix as a phrase: ``adapters 5-6, usage domains 4,171, control domains none``."""
        named = (("adapters", self.apm), ("usage domains", self.aqm), ("control domains", self.adm))
        return ", ".join(f"{name} {mask.ranges() or 'none'}" for name, mask in named)


EMPTY_MATRIX = Matrix()
"""No adapters, no domains."""

FULL_MATRIX = Matrix(ALL_BITS, ALL_BITS, ALL_BITS)
"""Everything: the neutral element of AND."""
