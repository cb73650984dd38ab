"""Events: a subscription, and the lines that follow its answer."""

from __future__ import annotations

import msgspec

from apmatrix.arch.events import AnyEvent, Event
from apmatrix.service.protocol.messages import MachineRequest


class Lost(Event, frozen=True):
    """``count`` events before this one were dropped: the subscriber took them too slowly."""

    count: int


class Happened(msgspec.Struct, frozen=True):
    """An event, and its number: the machine numbers its events from 1. Lost has the number of the last lost one.

    ``time`` is in seconds since the machine started. Kernel logs count from when their Linux booted.
    """

    sequence: int
    time: float
    event: AnyEvent | Lost


class Subscribed(msgspec.Struct, frozen=True):
    """The number of the last event before the subscription."""

    sequence: int


class Subscribe(MachineRequest[Subscribed], frozen=True):
    """Send every event from now on, each as Happened, until either end closes the connection."""
