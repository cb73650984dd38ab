"""The events of a machine, as values for its observers, and for subscribers in other processes."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from apmatrix.arch.mask import Mask
from apmatrix.arch.matrix import Apqn
from apmatrix.arch.words import dashed


class Event(msgspec.Struct, frozen=True, tag_field="event", tag=dashed):
    """Something that happened. In JSON, ``event`` is the name of its class, such as ``guest-started``.

    Systems and guests have the names of their levels from the LPAR down, such as ``kvm1/guest1``.
    """


class GuestStarted(Event, frozen=True):
    """A VM with the mdev ``uuid`` was started."""

    guest: str
    uuid: str


class GuestStopped(Event, frozen=True):
    """A VM with the mdev ``uuid`` has ended."""

    guest: str
    uuid: str


class MdevCreated(Event, frozen=True):
    """An mdev of ``system`` was created; nothing is assigned to it yet."""

    system: str
    uuid: str


class MdevRemoved(Event, frozen=True):
    """An mdev of ``system`` was removed."""

    system: str
    uuid: str


class MdevChanged(Event, frozen=True):
    """An mdev of ``system`` has been assigned another matrix, an empty one before it is removed."""

    system: str
    uuid: str
    adapters: Mask
    usage_domains: Mask
    control_domains: Mask


class ControlBlockChanged(Event, frozen=True):
    """A guest's control block has other masks."""

    guest: str
    adapters: Mask
    usage_domains: Mask
    control_domains: Mask


class ProfileChanged(Event, frozen=True):
    """An LPAR has another activation profile."""

    lpar: str
    adapters: Mask
    usage_domains: Mask
    control_domains: Mask


class AdapterStateChanged(Event, frozen=True):
    """A card was configured on or off (``online``, ``deconfigured``), or has failed (``checkstopped``)."""

    adapter: int
    state: str


class AdapterConfigured(Event, frozen=True):
    """An LPAR configured an adapter on or off for itself."""

    lpar: str
    adapter: int
    on: bool


class FaultAdded(Event, frozen=True):
    """A fault was added, in the words of docs/faults.md."""

    number: int
    fault: str


class FaultRemoved(Event, frozen=True):
    """A fault was ended."""

    number: int


class WriteRefused(Event, frozen=True):
    """The kernel of ``system`` refused a write to a file below its /sys: ``error`` is EADDRINUSE and the like.

    ``apqns`` are the queues concerned, of many the first ones; ``holder`` has them.
    """

    system: str
    path: str
    error: str
    sentence: str
    apqns: tuple[Apqn, ...] = ()
    holder: str | None = None


class RequestRefused(Event, frozen=True):
    """The machine refused a request of a command."""

    request: str
    sentence: str


AnyEvent: TypeAlias = (
    GuestStarted
    | GuestStopped
    | MdevCreated
    | MdevRemoved
    | MdevChanged
    | ControlBlockChanged
    | ProfileChanged
    | AdapterStateChanged
    | AdapterConfigured
    | FaultAdded
    | FaultRemoved
    | WriteRefused
    | RequestRefused
)
"""Every kind of event."""
