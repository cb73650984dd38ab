"""What can be said against a file from the file alone: doubled names, numbers that cannot exist, shared queues."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apmatrix.arch import Mask, Matrix
from apmatrix.arch.matrix import listed
from apmatrix.config.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from apmatrix.config.places import Path
    from apmatrix.config.reader import Reader
    from apmatrix.config.schema import AdapterFile, FileTables, GuestFile, HostSettings, LparFile


def check(file: FileTables, reader: Reader) -> None:
    """Record with ``reader`` everything that is wrong in a file whose tables could be read."""
    installed = _adapters(file, reader)
    _doubled(reader, "LPAR", [(lpar.name, ("lpar", index, "name")) for index, lpar in enumerate(file.lpars)])
    profiles = _Claims(
        reader,
        Severity.REFUSED,
        "{apqns} {are} also in the activation profile of LPAR {holder}, so LPAR {name} is not activated: "
        "take the adapter or the usage domain out of one profile",
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
        text = "functions say no mode: Linux binds no driver to such a card"
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
    """Check the guests of one host, which has ``given`` itself, and theirs."""
    if guests and not host.vfio_ap:
        text = "guests need vfio_ap in their host: set vfio_ap = true or take the guests out"
        reader.note(Severity.REFUSED, (*path, "host", "vfio_ap"), text)
    places = [(guest, (*path, "guest", index)) for index, guest in enumerate(guests)]
    _doubled(reader, "guest", [(guest.name, (*place, "name")) for guest, place in places])
    _doubled(reader, "mdev", [(str(guest.uuid), (*place, "uuid")) for guest, place in places if guest.uuid])
    claims = _Claims(
        reader,
        Severity.REFUSED,
        "{apqns} {are} already assigned to guest {holder}, so the assignment to guest {name} fails with "
        "EADDRINUSE: take the adapter or the domain out of one of the two",
    )
    for guest, place in places:
        _guest(guest, given, limits, place, reader)
        claims.claim(guest.name, guest.matrix, place)
        _guests(guest.guests, guest.host, guest.matrix & given, limits, place, reader)


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
            reader.note(Severity.ERROR, path, f"there are two {what}s {name}: give one of them another")
        seen.add(name)


@dataclass
class _Claims:
    """Who holds which queues of one owner; a second claim on a queue is a finding."""

    reader: Reader
    severity: Severity
    text: str
    holders: list[tuple[str, Matrix]] = field(default_factory=list)
    taken: dict[int, Mask] = field(default_factory=dict)  # adapter -> domains, to be quick where nothing is shared

    def claim(self, name: str, wanted: Matrix, path: Path) -> None:
        """Give ``wanted`` to ``name``, or record with whom it would share a queue."""
        if any(wanted.aqm.overlaps(self.taken.get(adapter, Mask())) for adapter in wanted.apm):
            for holder, held in self.holders:
                if held.shares_queues(wanted):
                    shared = held.shared(wanted)
                    text = self.text.format(
                        apqns=listed(shared.apqns()),
                        are="is" if len(shared) == 1 else "are",
                        holder=holder,
                        name=name,
                    )
                    self.reader.note(self.severity, path, text)
            return
        self.holders.append((name, wanted))
        for adapter in wanted.apm:
            self.taken[adapter] = self.taken.get(adapter, Mask()) | wanted.aqm
