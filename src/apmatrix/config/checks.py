"""Checks that need only the file: duplicate names, numbers that cannot exist, shared queues."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apmatrix.arch import ALL_BITS, NO_BITS, Mask, Matrix
from apmatrix.arch.matrix import listed
from apmatrix.config.findings import Severity
from apmatrix.rules.claims import Claims
from apmatrix.rules.ownership import Masks
from apmatrix.rules.refusals import BadValue
from apmatrix.rules.text import written_mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from apmatrix.config.places import Path
    from apmatrix.config.reader import Reader
    from apmatrix.config.schema import AdapterFile, FileTables, GuestFile, HostSettings, LparFile


def check(file: FileTables, reader: Reader) -> None:
    """Record with ``reader`` everything that is wrong in a file whose tables could be read."""
    installed = _adapters(file, reader)
    _doubled(reader, "LPAR", [(lpar.name, ("lpar", index, "name")) for index, lpar in enumerate(file.lpars)])
    profiles = _Exclusive(
        reader,
        "{apqns} {are} also in the activation profile of LPAR {holder}, so LPAR {name} is not activated: "
        "take the adapter or the usage domain out of one profile",
        "{apqns} {are} also in the activation profile of LPAR {holder}, which is not activated itself: "
        "once it can be, LPAR {name} cannot",
    )
    for index, lpar in enumerate(file.lpars):
        path: Path = ("lpar", index)
        _profile(file, lpar, installed, path, reader)
        profiles.claim(lpar.name, lpar.profile, path)
        _guests(lpar.guests, lpar.host, lpar.profile, file.machine.limits, path, reader)


def _adapters(file: FileTables, reader: Reader) -> Mask:
    """Check ``[[adapter]]``; returns the adapters that the machine has."""
    installed = Mask()
    for index, adapter in enumerate(file.adapters):
        path: Path = ("adapter", index)
        if (adapter.id is None) == (adapter.ids is None):
            reader.note(Severity.ERROR, path, "an adapter has either id or ids: write one of them")
        if twice := adapter.numbers & installed:
            text = f"adapter {twice.ranges()} is described twice: take one description out"
            reader.note(Severity.ERROR, path, text)
        _possible(adapter.numbers - file.machine.limits.apm, "adapter", Severity.ERROR, path, reader)
        _functions(adapter, path, reader)
        installed |= adapter.numbers
    return installed


def _functions(adapter: AdapterFile, path: Path, reader: Reader) -> None:
    """The facility bits must say the same mode as the type: Linux goes by the bits, the card by the type."""
    given, usual = adapter.functions.modes, adapter.type.functions.modes
    if not given.value:
        text = "functions have no mode bit: Linux binds no driver to such a card"
        reader.note(Severity.WARNING, (*path, "functions"), text)
    elif given != usual:
        text = (
            f"functions 0x{adapter.functions.value:08x} are not those of a {adapter.type}: of the mode bits "
            f"0x1c000000 set 0x{usual.value:08x} only"
        )
        reader.note(Severity.ERROR, (*path, "functions"), text)


def _profile(file: FileTables, lpar: LparFile, installed: Mask, path: Path, reader: Reader) -> None:
    limits = file.machine.limits
    _possible(lpar.adapters - limits.apm, "adapter", Severity.ERROR, (*path, "adapters"), reader)
    _possible(lpar.usage_domains - limits.aqm, "domain", Severity.ERROR, (*path, "usage_domains"), reader)
    controlled = lpar.control_domains or Mask()
    _possible(controlled - limits.adm, "domain", Severity.ERROR, (*path, "control_domains"), reader)
    # Only a warning: a profile may name cards that will be plugged in later.
    if missing := (lpar.adapters & limits.apm) - installed:
        text = f"the machine has no adapter {missing.ranges()}: LPAR {lpar.name} sees it when it is added"
        reader.note(Severity.WARNING, (*path, "adapters"), text)


def _possible(beyond: Mask, what: str, severity: Severity, path: Path, reader: Reader) -> None:
    if beyond:
        key = f"max_{what}"
        text = f"{what} {beyond.ranges()} cannot exist in this machine: see [machine] {key} and features"
        reader.note(severity, path, text)


def _guests(
    guests: Sequence[GuestFile], host: HostSettings, given: Matrix, limits: Matrix, path: Path, reader: Reader
) -> None:
    """Check the guests of one host, which itself has ``given``, and their guests."""
    if guests and not host.vfio_ap:
        text = "guests need vfio_ap in their host: set vfio_ap = true or take the guests out"
        reader.note(Severity.REFUSED, (*path, "host", "vfio_ap"), text)
    places = [(guest, (*path, "guest", index)) for index, guest in enumerate(guests)]
    _doubled(reader, "guest", [(guest.name, (*place, "name")) for guest, place in places])
    _doubled(reader, "mdev", [(str(guest.uuid), (*place, "uuid")) for guest, place in places if guest.uuid])
    claims = _Exclusive(
        reader,
        "{apqns} {are} already assigned to guest {holder}, so the assignment to guest {name} fails with "
        "EADDRINUSE: take the adapter or the domain out of one of the two",
        "{apqns} {are} also wanted for guest {holder}, whose assignment fails itself: once it does not, the "
        "assignment to guest {name} fails with EADDRINUSE",
    )
    reserved = _Reserved.by(host, path)
    for guest, place in places:
        if refusal := reserved.refusal(guest):
            reader.note(Severity.REFUSED, place, refusal)
        else:
            _guest(guest, given, limits, place, reader)
            claims.claim(guest.name, guest.matrix, place)
        _guests(guest.guests, guest.host, guest.matrix & given, limits, place, reader)


@dataclass(frozen=True)
class _Reserved:
    """The masks of one host, and its table in the file: a queue with both bits 1 cannot be assigned (MTX-21)."""

    masks: Masks
    given: frozenset[str]
    table: str

    @classmethod
    def by(cls, host: HostSettings, path: Path) -> _Reserved:
        """The masks after everything that the file has written to them; what cannot be written changes nothing."""
        if not host.vfio_ap:  # another finding says so
            return cls(Masks(NO_BITS, NO_BITS), frozenset(), "")
        masks = {}
        for name, texts in (("apmask", host.apmask), ("aqmask", host.aqmask)):
            mask = ALL_BITS
            for text in texts:
                with suppress(BadValue):
                    mask = written_mask(text, mask)
            masks[name] = mask
        given = frozenset(name for name, texts in (("apmask", host.apmask), ("aqmask", host.aqmask)) if texts)
        table = ".".join(part for part in path if isinstance(part, str))
        return cls(Masks(**masks), given, f"[{table}.host]")

    def refusal(self, guest: GuestFile) -> str:
        """Why the guest's assignment is refused, and what to write; empty if the masks are not in its way."""
        matrix = Matrix(guest.adapters & self.masks.apmask, guest.domains & self.masks.aqmask)
        if not len(matrix):
            return ""
        adapters, domains = (",".join(f"-{number}" for number in mask) for mask in (matrix.apm, matrix.aqm))
        verb = "belongs" if len(matrix) == 1 else "belong"
        text = f"{listed(matrix.apqns())} {verb} to the host's drivers, so guest {guest.name} gets nothing"
        if self.given:
            return f"{text}: add {adapters} to apmask or {domains} to aqmask of {self.table}"
        return f'{text}: add {self.table} apmask = "{adapters}" or aqmask = "{domains}"'


def _guest(guest: GuestFile, given: Matrix, limits: Matrix, path: Path, reader: Reader) -> None:
    masks = (
        ("adapters", "adapter", guest.adapters, limits.apm, given.apm),
        ("domains", "domain", guest.domains, limits.aqm, given.aqm),
        ("control_domains", "domain", guest.control_domains, limits.adm, given.adm),
    )
    for key, what, wanted, possible, present in masks:
        _possible(wanted - possible, what, Severity.REFUSED, (*path, key), reader)
        if missing := (wanted & possible) - present:
            text = (
                f"the host of guest {guest.name} has no {key.replace('_', ' ').rstrip('s')} "
                f"{missing.ranges()}: the assignment is accepted, the guest gets it when the host does"
            )
            reader.note(Severity.WARNING, (*path, key), text)


def _doubled(reader: Reader, what: str, names: Iterable[tuple[str, Path]]) -> None:
    seen = set()
    for name, path in names:
        if name in seen:
            reader.note(Severity.ERROR, path, f"there are two {what}s {name}: change one of them")
        seen.add(name)


@dataclass
class _Exclusive:
    """Claims that must not share a queue: every pair that does is a finding.

    ``refused`` says what happens to a claim that shares a queue with an accepted one, ``pending`` what will happen if
    the other one is itself refused.
    """

    reader: Reader
    refused: str
    pending: str
    claims: Claims[tuple[int, str]] = field(default_factory=Claims)  # a name may occur twice
    fallen: set[tuple[int, str]] = field(default_factory=set)
    count: int = 0

    def claim(self, name: str, wanted: Matrix, path: Path) -> None:
        """Add the claim of ``name``, and record each conflict with an earlier claim."""
        self.count += 1
        holder = (self.count, name)
        for conflict in self.claims.conflicts(wanted):
            stands = conflict.holder not in self.fallen
            text = (self.refused if stands else self.pending).format(
                apqns=listed(conflict.apqns),
                are="is" if len(conflict.shared) == 1 else "are",
                holder=conflict.holder[1],
                name=name,
            )
            self.reader.note(Severity.REFUSED if stands else Severity.WARNING, path, text)
            if stands:
                self.fallen.add(holder)
        self.claims.set(holder, wanted)
