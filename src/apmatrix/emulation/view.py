"""The matrix of a machine as plain data: who holds which queue. Knows nothing of how it was found out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apmatrix.arch import Apqn, Matrix


class Holding(Enum):
    """Who has a queue."""

    HOST = "host"  # the drivers of the Linux in the LPAR
    GUEST = "guest"  # a running guest
    ASSIGNED = "assigned"  # a guest's mdev, but no running guest: it is not started, or the queue is filtered
    FREE = "free"  # vfio_ap, and no guest asked for it
    UNBOUND = "unbound"  # no driver at all
    ABSENT = "absent"  # the profile names it, the machine does not have it


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue of an LPAR; ``holder`` names the guests from the LPAR's down to the one that has it."""

    apqn: Apqn
    holding: Holding
    holder: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """``guest1/guest2``, or how the queue is held if no guest has to do with it."""
        return "/".join(self.holder) or self.holding.value


@dataclass(frozen=True, slots=True)
class AdapterView:
    """One adapter of a machine."""

    number: int
    type: str
    state: str


@dataclass(frozen=True, slots=True)
class GuestView:
    """One guest: its names from the LPAR down, its mdev, whether it runs, and what it can use."""

    names: tuple[str, ...]
    uuid: str
    running: bool
    assigned: Matrix
    effective: Matrix


@dataclass(frozen=True, slots=True)
class LparView:
    """One LPAR: its profile, its queues, and the guests in it; nothing of it exists unless it is ``active``."""

    name: str
    active: bool
    profile: Matrix
    queues: Mapping[Apqn, QueueView]
    guests: tuple[GuestView, ...]

    def count(self) -> Counter[str]:
        """How many queues each holder has, by label."""
        return Counter(queue.label for queue in self.queues.values())


@dataclass(frozen=True, slots=True)
class MatrixView:
    """A machine: its adapters and LPARs, and what was refused when it was brought up."""

    machine: str
    adapters: tuple[AdapterView, ...]
    lpars: tuple[LparView, ...]
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The same as plain lists and dictionaries; APQNs as ``05.00ab``, adapters and domains as numbers."""
        return {
            "machine": self.machine,
            "adapters": [
                {"id": adapter.number, "type": adapter.type, "state": adapter.state} for adapter in self.adapters
            ],
            "lpars": [_lpar_json(lpar) for lpar in self.lpars],
            "refused": list(self.refusals),
            "warnings": list(self.warnings),
        }


def _lpar_json(lpar: LparView) -> dict[str, Any]:
    return {
        "name": lpar.name,
        "active": lpar.active,
        "adapters": list(lpar.profile.apm),
        "usage_domains": list(lpar.profile.aqm),
        "control_domains": list(lpar.profile.adm),
        "queues": [
            {"apqn": str(queue.apqn), "holding": queue.holding.value, "holder": "/".join(queue.holder) or None}
            for queue in lpar.queues.values()
        ],
        "guests": [
            {
                "name": "/".join(guest.names),
                "uuid": guest.uuid,
                "running": guest.running,
                "assigned": [str(apqn) for apqn in guest.assigned.apqns()],
                "queues": [str(apqn) for apqn in guest.effective.apqns()],
                "control_domains": list(guest.effective.adm),
            }
            for guest in lpar.guests
        ],
    }
