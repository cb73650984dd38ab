"""What a Linux reports about its AP bus and its mdevs, read from sysfs in a few calls."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID

from apmatrix.arch import EMPTY_MATRIX, NO_BITS, ApmatrixError, Apqn, Mask, Matrix
from apmatrix.rules import handover
from apmatrix.rules.access import HostState
from apmatrix.rules.ownership import ALL_RESERVED, Masks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from apmatrix.hosts.tree import Tree

BUS: Final = "/sys/bus/ap"
MATRIX: Final = "/sys/devices/vfio_ap/matrix"
"""The device below which mdevs live."""

MDEV_TYPE: Final = f"{MATRIX}/mdev_supported_types/vfio_ap-passthrough"

LONGEST_MATRIX: Final = 4094
"""From this length on, Linux may have cut the text of a matrix (MTX-41)."""

_LINE = re.compile(r"([0-9a-f]{2})?\.(?:00([0-9a-f]{2}))?")
_QUEUE = re.compile(r"[0-9a-f]{2}\.00[0-9a-f]{2}")


class UnreadableFact(ApmatrixError):
    """A file has a content that no Linux gives it; the sentence names the file."""


@dataclass(frozen=True, slots=True)
class MdevFacts:
    """An mdev: what is assigned to it, and what vfio_ap hands on to its guest, or would."""

    assigned: Matrix
    handed_on: Matrix


@dataclass(frozen=True, slots=True)
class HostFacts:
    """A Linux with its queues and mdevs.

    ``matrix`` is what it had itself at its last scan, empty without QCI; ``drivers`` has every queue device with its
    driver, ``mdevs`` every mdev by its UUID, ``overrides`` those queues with a driver_override that were asked about.
    """

    masks: Masks
    matrix: Matrix
    drivers: Mapping[Apqn, str | None]
    mdevs: Mapping[str, MdevFacts]
    overrides: Mapping[Apqn, str] = field(default_factory=dict)

    @property
    def state(self) -> HostState[str]:
        """The same for the rules, with mdevs named by their UUIDs."""
        assigned = {uuid: mdev.assigned for uuid, mdev in self.mdevs.items()}
        return HostState(self.matrix, self.masks, self.drivers, assigned, self.overrides)

    def assigned(self, uuid: str) -> Matrix:
        """What is assigned to an mdev; nothing if there is no such mdev."""
        return self.mdevs[uuid].assigned if uuid in self.mdevs else EMPTY_MATRIX


def read_facts(tree: Tree, overrides_of: Iterable[Apqn] = ()) -> HostFacts:
    """Ask a Linux for its facts, and for the driver_override of the queues ``overrides_of``.

    A system without an AP bus has none of these; one without vfio_ap has no mdevs. UnreadableFact names a file with a
    content that no Linux gives it.
    """
    wanted = tuple(overrides_of)
    drivers = queue_drivers(tree)
    files = ("apmask", "aqmask", "ap_adapter_mask", "ap_usage_domain_mask", "ap_control_domain_mask")
    overrides = (f"{BUS}/devices/{apqn}/driver_override" for apqn in wanted)
    contents = tree.read_all([*(f"{BUS}/{file}" for file in files), *overrides])
    apmask, aqmask, *matrix = map(_mask, files, contents)
    masks = ALL_RESERVED if apmask is None or aqmask is None else Masks(apmask, aqmask)
    given = dict(zip(wanted, map(_line, contents[len(files) :]), strict=True))
    facts = HostFacts(
        masks,
        Matrix(*(mask or NO_BITS for mask in matrix)),
        drivers,
        {},
        {apqn: driver for apqn, driver in given.items() if driver},
    )
    return HostFacts(facts.masks, facts.matrix, drivers, dict(_mdevs(tree, facts)), facts.overrides)


def _line(content: bytes | None) -> str:
    return (content or b"").decode("latin-1").removesuffix("\n")


def _mask(file: str, content: bytes | None) -> Mask | None:
    """A mask of the bus; None if there is none, or the bus says that it is not supported."""
    if content is None or _line(content) == "not supported":
        return None
    try:
        return Mask.parse_hex(_line(content))
    except ValueError as error:
        raise UnreadableFact(f"{BUS}/{file}: {error}") from None


def queue_drivers(tree: Tree) -> dict[Apqn, str | None]:
    """Every queue device and the driver it is bound to."""
    devices, drivers = tree.list_all([f"{BUS}/devices", f"{BUS}/drivers"])
    found: dict[Apqn, str | None] = dict.fromkeys(_queues(devices))
    for driver, names in zip(drivers, tree.list_all(f"{BUS}/drivers/{driver}" for driver in drivers), strict=True):
        found.update(dict.fromkeys(_queues(names), driver))
    return found


def _queues(names: Iterable[str]) -> Iterator[Apqn]:
    """The queues among the names in a directory."""
    return (Apqn.parse(name) for name in names if _QUEUE.fullmatch(name))


def mdev_uuids(tree: Tree) -> list[str]:
    """The mdevs of a system."""
    (names,) = tree.list_all([MATRIX])
    return [name for name in names if _is_uuid(name)]


def _is_uuid(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def assigned_matrix(tree: Tree, uuid: str) -> Matrix:
    """What is assigned to an mdev; nothing if there is no such mdev."""
    (content,) = tree.read_all([f"{MATRIX}/{uuid}/ap_config"])
    return _config(uuid, content)


def _config(uuid: str, content: bytes | None) -> Matrix:
    if content is None:
        return EMPTY_MATRIX
    try:
        adapters, domains, control_domains = map(Mask.parse_hex, _line(content).split(","))
    except ValueError as error:
        raise UnreadableFact(f"{MATRIX}/{uuid}/ap_config: not three masks: {error}") from None
    return Matrix(adapters, domains, control_domains)


def _mdevs(tree: Tree, facts: HostFacts) -> Iterable[tuple[str, MdevFacts]]:
    """The mdevs; one whose removal is waiting for its guest has nothing assigned any more."""
    uuids = mdev_uuids(tree)
    contents = tree.read_all(f"{MATRIX}/{uuid}/{file}" for uuid in uuids for file in ("ap_config", "guest_matrix"))
    for uuid, config, guest in zip(uuids, contents[0::2], contents[1::2], strict=True):
        assigned = _config(uuid, config)
        yield uuid, MdevFacts(assigned, _handed_on(_line(guest), assigned, facts))


def _handed_on(text: str, assigned: Matrix, facts: HostFacts) -> Matrix:
    """What ``guest_matrix`` says; where its text may be cut (MTX-41), what the filter leaves (MTX-50)."""
    if len(text) >= LONGEST_MATRIX:
        lost = Mask.of(*handover.obstacles(assigned, facts.matrix, facts.state.reset_code))
        guest = handover.usable(assigned, facts.matrix, lost)
    else:
        found = [line for line in map(_LINE.fullmatch, text.split("\n")) if line]
        guest = Matrix(
            Mask.of(*{int(line[1], 16) for line in found if line[1]}),
            Mask.of(*{int(line[2], 16) for line in found if line[2]}),
        )
    return guest | Matrix(adm=handover.controllable(assigned, facts.matrix))
