"""The bus's masks of a host in the file: what is written to them, and what they then keep from its guests."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

from apmatrix.arch import ALL_BITS, NO_BITS, Mask, Matrix
from apmatrix.arch.matrix import listed
from apmatrix.config.findings import dotted
from apmatrix.rules.findings import MOST_APQNS, Holder, Severity
from apmatrix.rules.ownership import Masks
from apmatrix.rules.readings import octal_doubts
from apmatrix.rules.refusals import BadValue
from apmatrix.rules.text import absolute_mask, written_mask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from apmatrix.arch import Apqn
    from apmatrix.config.places import Path
    from apmatrix.config.reader import Reader
    from apmatrix.config.schema import GuestFile, HostSettings

_SINGLE: Final = 8
"""Numbers that are written one by one; of more, ranges are shorter."""

_DIGITS: Final = 64
"""Hexadecimal digits of a whole mask."""

_NUMBERS: Final = {"apmask": "adapter", "aqmask": "domain"}


class HostMasks:
    """The masks of one host after everything that the file writes to them.

    A write that the kernel refuses changes nothing, and is a finding; one that means something else than its writer
    may have thought is a warning.
    """

    def __init__(self, host: HostSettings, names: tuple[str, ...], path: Path, reader: Reader) -> None:
        self._host = host
        self._holder = Holder("host", "/".join(names))
        self._path = path
        self._reader = reader
        self._table = f"[{'.'.join(part for part in path if isinstance(part, str))}.host]"
        self._refused: list[tuple[Path, str, str]] = []
        self.masks = Masks(*(self._after(key, writes) for key, writes in self._writes()))
        if not host.vfio_ap:  # no guest can have anything: another finding says so
            self.masks = Masks(NO_BITS, NO_BITS)

    def _writes(self) -> Iterator[tuple[str, Sequence[str]]]:
        return ((key, getattr(self._host, key)) for key in _NUMBERS)

    def _after(self, key: str, writes: Sequence[str]) -> Mask:
        mask = ALL_BITS
        for index, text in enumerate(writes):
            path = (*self._path, "host", key) if len(writes) == 1 else (*self._path, "host", key, index)
            try:
                mask = written_mask(text, mask)
            except BadValue as error:
                self._refused.append((path, error.message, _meant(key, text)))
                continue
            for message, remedy in _doubts(key, text):
                self._reader.note(Severity.WARNING, path, message, remedy)
        return mask

    def check(self, guests: Sequence[tuple[GuestFile, Path]], given: Matrix) -> list[tuple[GuestFile, Path]]:
        """Record what the masks keep from the guests, once; returns those from which they keep nothing (MTX-21).

        ``given`` is what the host has itself.
        """
        kept = [(guest, path, kept) for guest, path in guests if len(kept := self._kept(guest))]
        paths = {path for _, path, _ in kept}
        refuses = [dotted(path) for path in paths]
        nothing = f", so {_named([guest.name for guest, _, _ in kept])} nothing" if kept else ""
        for path, message, remedy in self._refused:
            owners = [dotted(self._path), *refuses]
            self._reader.note(
                Severity.REFUSED,
                path,
                f"is refused with EINVAL: {message}{nothing}",
                remedy,
                refuses=owners,
                rule="BUS-30",
                errno="EINVAL",
            )
        if kept and not self._refused:
            self._note(kept, refuses, nothing, given)
        return [(guest, path) for guest, path in guests if path not in paths]

    def _kept(self, guest: GuestFile) -> Matrix:
        return Matrix(guest.adapters & self.masks.apmask, guest.domains & self.masks.aqmask)

    def _note(
        self, kept: list[tuple[GuestFile, Path, Matrix]], refuses: list[str], nothing: str, given: Matrix
    ) -> None:
        """One finding at the first guest, with what to write for all of them."""
        matrix = Matrix()
        for _, _, each in kept:
            matrix |= each
        apqns = list(dict.fromkeys(apqn for _, _, each in kept for apqn in _first(each)))[:MOST_APQNS]
        count = len(kept[0][2]) if len(kept) == 1 else len(apqns)
        verb = "belongs" if count == 1 else "belong"
        message = f"{listed(apqns, count=count)} {verb} to the host's drivers{nothing}"
        remedy = self._remedy(matrix)
        if lacking := _lacking(matrix - given):
            take = f"take {lacking} out, which the host does not have"
            some = any(each.shares_queues(given) for _, _, each in kept)
            remedy = f"{remedy}; and {take}" if some else f"{take}, or {remedy}"
        self._reader.note(
            Severity.REFUSED,
            kept[0][1],
            message,
            remedy,
            apqns=apqns,
            refuses=refuses,
            holders=[self._holder],
            rule="MTX-21a",
            errno="EADDRNOTAVAIL",
        )

    def _remedy(self, matrix: Matrix) -> str:
        """What to write, in the words of the file: a line for the table, or more for one that is there."""
        terms = {"apmask": _terms(matrix.apm), "aqmask": _terms(matrix.aqm)}
        if not any(writes for _, writes in self._writes()):
            lines = " or ".join(f'{key} = "{text}"' for key, text in terms.items())
            return f"add {self._table} {lines}"
        return f"add {' or '.join(f'{text} to {key}' for key, text in terms.items())} of {self._table}"


def _first(matrix: Matrix) -> Iterator[Apqn]:
    return islice(matrix.apqns(), MOST_APQNS)


def _named(names: list[str]) -> str:
    """``guest a gets``, ``guests a and b get``, ``guests a, b and 5 more get``."""
    if len(names) == 1:
        return f"guest {names[0]} gets"
    if len(names) == 2:
        return f"guests {names[0]} and {names[1]} get"
    return f"guests {names[0]}, {names[1]} and {len(names) - 2} more get"


def _lacking(missing: Matrix) -> str:
    """``adapter 7 and domains 4-6``; empty if nothing is missing."""
    named = (("adapter", missing.apm), ("domain", missing.aqm))
    return " and ".join(f"{what}{'s' * (len(mask) > 1)} {mask.ranges()}" for what, mask in named if mask)


def _terms(mask: Mask) -> str:
    return ",".join(f"-{part}" for part in (map(str, mask) if len(mask) <= _SINGLE else mask.ranges().split(",")))


def _meant(key: str, text: str) -> str:
    """What to write instead of a text that is no mask write: a whole mask, or numbers with a sign each."""
    whole = re.sub(r"[\s_]", "", text)
    if re.fullmatch(r"0[xX][0-9a-fA-F]{8,}", whole):  # shorter ones may be numbers
        digits = len(whole) - 2
        if digits > _DIGITS:
            return f"write 0x and up to {_DIGITS} hexadecimal digits, not {digits}"
        return f'write {key} = "{whole}"'
    sign = text[:1] if text[:1] in ("+", "-") else "-"
    better = ",".join(
        part if part[:1] in ("+", "-") else f"{sign}{part}" for part in re.split(r"[\s,]+", text.strip(" ,"))
    )
    try:
        written_mask(better, ALL_BITS)
    except BadValue:
        return f'write terms with signs, such as {key} = "-5,-6"'
    return f'write {key} = "{better}"'


def _doubts(key: str, text: str) -> Iterator[tuple[str, str]]:
    """What else a write may mean than the kernel takes it for."""
    what = _NUMBERS[key]
    if text[:1] in ("+", "-"):
        yield from octal_doubts(text, what)
    elif re.fullmatch(r"[0-9]{1,3}", text.strip()):
        left = absolute_mask(text)
        names = f"{what}s {left.ranges()}" if len(left) > 1 else f"{what} {left.ranges()}"
        message = f"{text!r} without a sign is a whole mask, which leaves {names if left else 'nothing'} to the host"
        yield (
            message,
            f'write "-{text.strip()}" to take {what} {text.strip()} away from it, or 0x{text} if it is meant',
        )
