"""The holder of each queue: of a Linux from its facts, and of a whole machine as plain data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from apmatrix.arch import Apqn, Matrix  # noqa: TC001 - looked up when a view is decoded
from apmatrix.rules.findings import Finding  # noqa: TC001 - looked up when a view is decoded
from apmatrix.rules.ownership import GUEST_DRIVER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apmatrix.hosts.facts import HostFacts


class Holding(Enum):
    """How a queue is held."""

    HOST = "host"  # the drivers of the Linux in the LPAR
    GUEST = "guest"  # a running guest
    ASSIGNED = "assigned"  # a guest's mdev, but no running guest: it is not started, or the queue is filtered
    FREE = "free"  # vfio_ap, and no mdev
    UNBOUND = "unbound"  # no driver at all
    ABSENT = "absent"  # the profile names it, the machine does not have it


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue of an LPAR; ``holder`` names the guests from the LPAR's down to the one that has it.

    ``refused`` are the guests of the LPAR that asked for it in vain: their mdevs were refused.
    """

    apqn: Apqn
    holding: Holding
    holder: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """``guest1/guest2``, or how the queue is held if no guest is involved."""
        return "/".join(self.holder) or self.holding.value


@dataclass(frozen=True, slots=True)
class GuestState:
    """The guest of an mdev: its name, what it can use now, and its own system if that is known."""

    name: str
    effective: Matrix
    below: Holders | None = None


class Holders:
    """The holders of the queues of one Linux.

    ``guests`` has the guests by the UUIDs of their mdevs, ``refused`` what those wanted whose mdevs were refused.
    """

    def __init__(
        self, facts: HostFacts, guests: Mapping[str, GuestState], refused: Mapping[str, Matrix] = MappingProxyType({})
    ) -> None:
        self._drivers = facts.drivers
        self._refused = refused
        self._guests: dict[Apqn, GuestState] = {}  # an APQN is in one mdev at most
        for uuid, mdev in facts.mdevs.items():
            self._guests.update(dict.fromkeys(mdev.assigned.apqns(), guests[uuid]))

    def look(self, apqn: Apqn) -> QueueView:
        """The queue's holder, at the deepest level that it was handed on to."""
        if apqn not in self._drivers:
            return QueueView(apqn, Holding.ABSENT)
        driver = self._drivers[apqn]
        if driver != GUEST_DRIVER:
            return QueueView(apqn, Holding.HOST if driver else Holding.UNBOUND)
        guest = self._guests.get(apqn)
        if guest is None:
            refused = tuple(name for name, matrix in self._refused.items() if apqn in matrix)
            return QueueView(apqn, Holding.FREE, refused=refused)
        if apqn not in guest.effective:
            return QueueView(apqn, Holding.ASSIGNED, (guest.name,))
        deeper = guest.below.look(apqn) if guest.below else None
        inner = deeper.holder if deeper and deeper.holding is Holding.GUEST else ()
        return QueueView(apqn, Holding.GUEST, (guest.name, *inner))


@dataclass(frozen=True, slots=True)
class AdapterView:
    """One adapter of a machine."""

    number: int
    type: str
    state: str


@dataclass(frozen=True, slots=True)
class GuestView:
    """One mdev: its guest's names from the LPAR down, whether the guest is running, and what it can use."""

    name: str
    uuid: str
    running: bool
    assigned: Matrix
    effective: Matrix


@dataclass(frozen=True, slots=True)
class LparView:
    """One LPAR: its profile, and its queues and guests, which exist only while it is ``active``."""

    name: str
    active: bool
    profile: Matrix
    queues: tuple[QueueView, ...] = ()
    guests: tuple[GuestView, ...] = ()

    def by_apqn(self) -> dict[Apqn, QueueView]:
        """The queues by their address."""
        return {queue.apqn: queue for queue in self.queues}

    def count(self) -> Counter[str]:
        """How many queues each holder has, by label."""
        return Counter(queue.label for queue in self.queues)


@dataclass(frozen=True, slots=True)
class MatrixView:
    """A machine: its adapters and LPARs, what was refused when it was brought up, and the findings about its file.

    ``unforeseen`` are the refusals of which no finding tells already.
    """

    machine: str
    adapters: tuple[AdapterView, ...]
    lpars: tuple[LparView, ...]
    refusals: tuple[Finding, ...] = ()
    findings: tuple[Finding, ...] = ()
    unforeseen: tuple[Finding, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The same as plain lists and dictionaries; APQNs as ``05.00ab``, adapters and domains as numbers."""
        return {
            "machine": self.machine,
            "adapters": [
                {"id": adapter.number, "type": adapter.type, "state": adapter.state} for adapter in self.adapters
            ],
            "lpars": [_lpar_json(lpar) for lpar in self.lpars],
            "findings": [finding.as_json() for finding in self.findings],
            "refused": [finding.as_json() for finding in self.refusals],
        }


def _lpar_json(lpar: LparView) -> dict[str, Any]:
    return {
        "name": lpar.name,
        "active": lpar.active,
        **_matrix_json(lpar.profile),
        "queues": [
            {
                "apqn": str(queue.apqn),
                "holding": queue.holding.value,
                "holder": "/".join(queue.holder) or None,
                "refused": list(queue.refused),
            }
            for queue in lpar.queues
        ],
        "guests": [
            {
                "name": guest.name,
                "uuid": guest.uuid,
                "running": guest.running,
                "assigned": _matrix_json(guest.assigned),
                "effective": _matrix_json(guest.effective),
            }
            for guest in lpar.guests
        ],
    }


def _matrix_json(matrix: Matrix) -> dict[str, list[int]]:
    return {
        "adapters": list(matrix.apm),
        "usage_domains": list(matrix.aqm),
        "control_domains": list(matrix.adm),
    }
