"""A machine as a whole: what runs on it, its matrix, its logs, its end."""

from __future__ import annotations

import msgspec

from apmatrix.service.protocol.guests import GuestFacts
from apmatrix.service.protocol.messages import Request


class MachineStatus(msgspec.Struct, frozen=True):
    """A machine, its running Linux systems and its guests.

    ``sessions`` is the number of commands on it, ``refused`` what was refused when it was brought up.
    """

    machine: str
    systems: tuple[str, ...]
    guests: tuple[GuestFacts, ...]
    sessions: int
    refused: tuple[str, ...]
    running: bool = True


class GetStatus(Request[MachineStatus], frozen=True):
    """What runs on the machine?"""


class LogEntry(msgspec.Struct, frozen=True):
    """A line of a kernel log, ``time`` in seconds since the machine's clock began."""

    time: float
    severity: str
    text: str


class GetLog(Request[tuple[LogEntry, ...]], frozen=True):
    """The kernel log of a Linux system, by default the client's own."""

    system: str | None = None


class Stop(Request[None], frozen=True):
    """End the machine; the answer comes before the end."""
