"""The configuration file, declared: every table, its keys, their types and defaults (docs/file.md).

Each class is one table of the file; a field's ``Meta.description`` completes the sentence "it must be …".
"""

# msgspec evaluates these annotations, so the imports are needed at run time.
from collections.abc import Iterator
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct, field, structs

from apmatrix.arch import CardFunctions, CardType, KeySet, Mask, Matrix, SetName
from apmatrix.arch.cardtype import DEFAULT_DEPTH
from apmatrix.config.findings import NotInFile, dotted
from apmatrix.config.places import Path, Places
from apmatrix.config.values import FaultWords, KeySource, Number, PartFiles, Writes
from apmatrix.rules import limits
from apmatrix.rules.findings import Finding, Severity
from apmatrix.rules.names import meant

Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z",
        description="a name of up to 64 letters, digits, '.', '_' and '-', a letter or digit first",
    ),
]
Depth = Annotated[int, Meta(ge=1, le=16, description="a queue depth from 1 to 16")]
Seconds = Annotated[float, Meta(gt=0, le=1, description="a number of seconds above 0 and up to 1, such as 50e-6")]
Choice = Annotated[bool, Meta(description="true or false")]
Type = Annotated[CardType, Meta(description="a card type: CEX4 to CEX8 followed by A, C or P, such as CEX8C")]
State = Annotated[
    Literal["online", "deconfigured", "checkstopped"],
    Meta(description="'online', 'deconfigured' or 'checkstopped'"),
]
Policy = Annotated[Literal["linux", "protective"], Meta(description="'linux' or 'protective'")]
Feature = Literal["APSC", "APXA", "QACT", "RC8A", "APSB"]
Features = Annotated[
    tuple[Feature, ...], Meta(description="a list of QCI features out of APSC, APXA, QACT, RC8A, APSB")
]
Facilities = Annotated[
    tuple[Literal[12, 15, 65, 76], ...], Meta(description="a list of facilities out of 12, 15, 65, 76")
]
Uuid = Annotated[UUID, Meta(description="a UUID in quotes, such as '62177883-f1bb-47f0-914d-32a22e3a8804'")]


Set = Annotated[SetName, Meta(description="a set of master keys: 'AES', 'APKA' or 'ASYM' of CCA, or 'WK' of EP11")]


class MachineSettings(Struct, frozen=True, kw_only=True):
    """``[machine]``: the CPC."""

    name: Name | None = None
    max_adapter: Number = Number(255)
    max_domain: Number = Number(255)
    features: Features = ("APSC", "APXA", "QACT", "RC8A")
    facilities: Facilities = (12, 15, 76)
    timing: Seconds | None = None
    faults: FaultWords = FaultWords()

    @property
    def limits(self) -> Matrix:
        """The adapters and domains that can exist: 64 and 16 of them without APXA (hardware.md 2.3)."""
        return limits.of_machine(self.max_adapter, self.max_domain, apxa="APXA" in self.features)


class AdapterFile(Struct, frozen=True, kw_only=True):
    """``[[adapter]]``: one card, or several alike."""

    id: Number | None = None
    ids: Mask | None = None
    type: Type
    state: State = "online"
    depth: Depth = DEFAULT_DEPTH
    given_functions: CardFunctions | None = field(default=None, name="functions")
    faults: FaultWords = FaultWords()

    @property
    def numbers(self) -> Mask:
        """The adapter numbers that the entry is for."""
        return (self.ids or Mask()) | (Mask() if self.id is None else Mask.of(self.id))

    @property
    def functions(self) -> CardFunctions:
        """The facility bits from the file, or else from the card type."""
        return self.type.functions if self.given_functions is None else self.given_functions


class MasterKeyFile(Struct, frozen=True, kw_only=True):
    """``[[master_key]]``: a key for some domains of some cards. A loaded file has absolute paths in ``parts``."""

    adapters: Annotated[Mask, Meta(description="adapters, such as 5 or '5,6'")]
    domains: Annotated[Mask, Meta(description="domains, such as 4 or '4,0xab'")]
    set: Set
    key: KeySource | None = None
    parts: PartFiles = PartFiles()

    @property
    def key_set(self) -> KeySet:
        """The set whose register gets the key."""
        return KeySet.of(self.set)


class HostSettings(Struct, frozen=True, kw_only=True):
    """``[lpar.host]``, ``[lpar.guest.host]``: the Linux at that level."""

    apmask: Writes = Writes()
    aqmask: Writes = Writes()
    vfio_ap: Choice = True
    policy: Policy = "linux"


class GuestFile(Struct, frozen=True, kw_only=True):
    """``[[lpar.guest]]``: a KVM guest and its mdev. ``uuid`` is never None in a loaded file."""

    name: Name
    uuid: Uuid | None = None
    adapters: Mask = Mask()
    domains: Mask = Mask()
    control_domains: Mask = Mask()
    start: Choice = True
    host: HostSettings = HostSettings()
    guests: "tuple[GuestFile, ...]" = field(default=(), name="guest")

    @property
    def matrix(self) -> Matrix:
        """What is assigned to the mdev."""
        return Matrix(self.adapters, self.domains, self.control_domains)


class LparFile(Struct, frozen=True, kw_only=True):
    """``[[lpar]]``: a logical partition, its activation profile, its Linux and the guests of that Linux."""

    name: Name
    adapters: Mask = Mask()
    usage_domains: Mask = Mask()
    control_domains: Mask | None = None
    host: HostSettings = HostSettings()
    guests: tuple[GuestFile, ...] = field(default=(), name="guest")

    @property
    def profile(self) -> Matrix:
        """The activation profile; every usage domain is a control domain unless the file says otherwise."""
        control = self.usage_domains if self.control_domains is None else self.control_domains
        return Matrix(self.adapters, self.usage_domains, control)


class FileTables(Struct, frozen=True, kw_only=True):
    """The tables at the top of a file."""

    machine: MachineSettings = MachineSettings()
    adapters: tuple[AdapterFile, ...] = field(default=(), name="adapter")
    master_keys: tuple[MasterKeyFile, ...] = field(default=(), name="master_key")
    lpars: tuple[LparFile, ...] = field(name="lpar")


class MachineFile(FileTables, frozen=True, kw_only=True):
    """A loaded file: ``findings`` has what the machine will refuse, and warnings; ``places`` its lines."""

    path: str
    findings: tuple[Finding, ...] = ()
    places: Places

    def error(self, path: Path, text: str) -> Finding:
        """An error about the value at ``path``, for checks that need more than the file."""
        return Finding(Severity.ERROR, text, file=self.path, line=self.places.line(path), path=dotted(path))

    def without_keys(self) -> "MachineFile":
        """The same machine for those who only look at it: no part of a master key is read for it."""
        return structs.replace(self, master_keys=())

    def guests(self) -> Iterator[tuple[tuple[str, ...], GuestFile]]:
        """All guests at all depths with their names from the LPAR down, a host before its guests."""
        for lpar in self.lpars:
            yield from _below((lpar.name,), lpar.guests)

    def refused(self) -> set[tuple[str, ...]]:
        """The LPARs and guests, by their names, of which a finding says that they will be refused."""
        owners = {owner for finding in self.findings for owner in finding.refuses}
        return {names for names, path in self.paths() if dotted(path) in owners}

    def paths(self) -> Iterator[tuple[tuple[str, ...], Path]]:
        """Where the LPARs and guests are in the file, by their names."""
        for index, lpar in enumerate(self.lpars):
            yield (lpar.name,), ("lpar", index)
            yield from _paths_below((lpar.name,), ("lpar", index), lpar.guests)

    def find_guest(self, name: str) -> tuple[tuple[str, ...], GuestFile]:
        """The guest that ``guest1``, or ``kvm1/guest1`` where that is ambiguous, names, and its full path of names.

        Raises NotInFile.
        """
        guests = dict(self.guests())
        found = [(names, guests[names]) for names in meant(name, guests)]
        if len(found) == 1:
            return found[0]
        known = ", ".join("/".join(names) for names, _ in found or self.guests()) or "none"
        if found:
            raise NotInFile(f"{self.path}: there are several guests {name}: choose one of {known}")
        raise NotInFile(f"{self.path}: there is no guest {name}: the guests are {known}")


def _below(above: tuple[str, ...], guests: tuple[GuestFile, ...]) -> Iterator[tuple[tuple[str, ...], GuestFile]]:
    for guest in guests:
        names = (*above, guest.name)
        yield names, guest
        yield from _below(names, guest.guests)


def _paths_below(
    above: tuple[str, ...], path: Path, guests: tuple[GuestFile, ...]
) -> Iterator[tuple[tuple[str, ...], Path]]:
    for index, guest in enumerate(guests):
        names, place = (*above, guest.name), (*path, "guest", index)
        yield names, place
        yield from _paths_below(names, place, guest.guests)
