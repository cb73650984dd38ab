"""Checks that need only the file: duplicate names, numbers that cannot exist, shared queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import Mask, Matrix
from apmatrix.config.beyond import copied, possible
from apmatrix.config.findings import dotted
from apmatrix.config.masks import HostMasks
from apmatrix.config.masterkeys import MasterKeys
from apmatrix.config.sharing import Exclusive, Words
from apmatrix.rules.findings import Holder, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from apmatrix.config.places import Path
    from apmatrix.config.reader import Reader
    from apmatrix.config.schema import AdapterFile, FileTables, GuestFile, HostSettings, LparFile


_PROFILES = Words(
    "{apqns} {are} also in the activation profile of LPAR {holder}, so LPAR {name} is not activated",
    "{apqns} {are} also in the activation profile of LPAR {holder}, which is not activated itself: once it can be, "
    "LPAR {name} cannot",
    "take the adapter or the usage domain out of one profile",
    "hardware.md 7.2",
)
_ASSIGNMENTS = Words(
    "{apqns} {are} already assigned to guest {holder}, so the assignment to guest {name} fails with EADDRINUSE",
    "{apqns} {are} also wanted for guest {holder}, whose assignment fails itself: once it does not, the assignment "
    "to guest {name} fails with EADDRINUSE",
    "take the adapter or the domain out of one of the two",
    "MTX-21b",
    "EADDRINUSE",
)


_CHANGES = {
    "LPAR": "give one of them another name",
    "guest": "give one of them another name",
    "mdev": "give one of them another uuid, or none",
}


def check(file: FileTables, reader: Reader) -> None:
    """Record with ``reader`` everything that is wrong in a file whose tables could be read."""
    installed = _adapters(file, reader)
    MasterKeys(file, reader).check()
    _doubled(reader, "LPAR", [(lpar.name, ("lpar", index, "name")) for index, lpar in enumerate(file.lpars)])
    profiles = Exclusive(reader, _PROFILES)
    for index, lpar in enumerate(file.lpars):
        path: Path = ("lpar", index)
        _profile(file, lpar, installed, path, reader)
        profiles.claim(Holder("lpar", lpar.name), lpar.profile, path)
        _guests(lpar.guests, lpar.host, (lpar.name,), lpar.profile, file.machine.limits, path, reader)


def _adapters(file: FileTables, reader: Reader) -> Mask:
    """Check ``[[adapter]]``; returns the adapters that the machine has."""
    first: dict[int, Path] = {}
    for index, adapter in enumerate(file.adapters):
        path: Path = ("adapter", index)
        if (adapter.id is None) == (adapter.ids is None):
            reader.note(Severity.ERROR, path, "an adapter has either id or ids", "write one of them")
        twice: dict[Path, list[int]] = {}
        for number in adapter.numbers:
            if number in first:
                twice.setdefault(first[number], []).append(number)
            first.setdefault(number, path)
        for earlier, numbers in twice.items():
            text = f"adapter {Mask.of(*numbers).ranges()} is described already, at {_named(reader, earlier)}"
            reader.note(Severity.ERROR, path, text, "take one description out")
        possible(adapter.numbers - file.machine.limits.apm, "adapter", Severity.ERROR, path, reader)
        _functions(adapter, path, reader)
    return Mask.of(*first)


def _functions(adapter: AdapterFile, path: Path, reader: Reader) -> None:
    """The facility bits must say the same mode as the type: Linux goes by the bits, the card by the type."""
    given, usual = adapter.functions.modes, adapter.type.functions.modes
    if not given.value:
        text = "functions have no mode bit: Linux binds no driver to such a card"
        reader.note(Severity.WARNING, (*path, "functions"), text)
    elif given != usual:
        text = f"functions 0x{adapter.functions.value:08x} are not those of a {adapter.type}"
        remedy = f"of the mode bits 0x1c000000 set 0x{usual.value:08x} only"
        reader.note(Severity.ERROR, (*path, "functions"), text, remedy)


def _profile(file: FileTables, lpar: LparFile, installed: Mask, path: Path, reader: Reader) -> None:
    limits = file.machine.limits
    possible(lpar.adapters - limits.apm, "adapter", Severity.ERROR, (*path, "adapters"), reader)
    possible(lpar.usage_domains - limits.aqm, "domain", Severity.ERROR, (*path, "usage_domains"), reader)
    controlled = lpar.control_domains or Mask()
    possible(controlled - limits.adm, "domain", Severity.ERROR, (*path, "control_domains"), reader)
    # Only a warning: a profile may name cards that will be plugged in later.
    if missing := (lpar.adapters & limits.apm) - installed:
        text = f"the machine has no adapter {missing.ranges()}: LPAR {lpar.name} sees it when it is added"
        reader.note(Severity.WARNING, (*path, "adapters"), text, copied(missing, "adapter", installed))


def _guests(
    guests: Sequence[GuestFile],
    host: HostSettings,
    names: tuple[str, ...],
    given: Matrix,
    limits: Matrix,
    path: Path,
    reader: Reader,
) -> None:
    """Check the guests of one host, which ``names`` lead to and which itself has ``given``, and their guests."""
    places: list[tuple[GuestFile, Path]] = [(guest, (*path, "guest", index)) for index, guest in enumerate(guests)]
    if guests and not host.vfio_ap:
        refuses = [dotted(place) for _, place in places]
        message = "guests need vfio_ap in their host"
        remedy = "set vfio_ap = true or take the guests out"
        reader.note(Severity.REFUSED, (*path, "host", "vfio_ap"), message, remedy, refuses=refuses)
    _doubled(reader, "guest", [(guest.name, (*place, "name")) for guest, place in places])
    _doubled(reader, "mdev", [(str(guest.uuid), (*place, "uuid")) for guest, place in places if guest.uuid])
    claims = Exclusive(reader, _ASSIGNMENTS)
    for guest, place in HostMasks(host, names, path, reader).check(places, given):
        _guest(guest, given, limits, place, reader)
        claims.claim(Holder("guest", "/".join((*names, guest.name))), guest.matrix, place)
    for guest, place in places:
        _guests(guest.guests, guest.host, (*names, guest.name), guest.matrix & given, limits, place, reader)


def _guest(guest: GuestFile, given: Matrix, limits: Matrix, path: Path, reader: Reader) -> None:
    masks = (
        ("adapters", "adapter", guest.adapters, limits.apm, given.apm),
        ("domains", "domain", guest.domains, limits.aqm, given.aqm),
        ("control_domains", "domain", guest.control_domains, limits.adm, given.adm),
    )
    for key, what, wanted, highest, present in masks:
        possible(wanted - highest, what, Severity.REFUSED, (*path, key), reader)
        if missing := (wanted & highest) - present:
            text = (
                f"the host of guest {guest.name} has no {key.replace('_', ' ').rstrip('s')} "
                f"{missing.ranges()}: the assignment is accepted, the guest gets it when the host does"
            )
            reader.note(Severity.WARNING, (*path, key), text, copied(missing, what, present))


def _doubled(reader: Reader, what: str, names: Iterable[tuple[str, Path]]) -> None:
    """Names that must be unique; a finding for each that is not, with the place of the first."""
    first: dict[str, Path] = {}
    for name, path in names:
        if name in first:
            text = f"{what} {name} is described already, at {_named(reader, first[name])}"
            reader.note(Severity.ERROR, path, text, _CHANGES[what])
        first.setdefault(name, path)


def _named(reader: Reader, path: Path) -> str:
    """A place in a sentence about another one: ``line 7``."""
    line = reader.places.line(path)
    return f"line {line}" if line else dotted(path)
