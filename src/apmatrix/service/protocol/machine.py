"""A machine as a whole: what is running on it, its logs, its end."""

from __future__ import annotations

import msgspec

from apmatrix.rules.findings import Finding
from apmatrix.service.protocol.guests import GuestFacts
from apmatrix.service.protocol.messages import MachineRequest
from apmatrix.service.protocol.names import SystemName


class MachineStatus(msgspec.Struct, frozen=True):
    """A machine, its running Linux systems and its guests.

    ``sessions`` is the number of commands on it, ``refused`` what was refused when it was brought up.
    """

    machine: str
    systems: tuple[str, ...]
    guests: tuple[GuestFacts, ...]
    sessions: int
    refused: tuple[Finding, ...]
    running: bool = True


class GetStatus(MachineRequest[MachineStatus], frozen=True):
    """What is running on the machine?"""


class LogFacts(msgspec.Struct, frozen=True):
    """A line of a kernel log, ``time`` in seconds since its Linux booted."""

    time: float
    severity: str
    text: str


class KernelLogFacts(msgspec.Struct, frozen=True):
    """A kernel log; ``booted`` is when its Linux did, in seconds since the machine started, as events have them."""

    booted: float
    entries: tuple[LogFacts, ...]


class GetLog(MachineRequest[KernelLogFacts], frozen=True):
    """The kernel log of a Linux system, by default the client's own."""

    system: SystemName = None


class StopMachine(MachineRequest[None], frozen=True):
    """End the machine; the answer comes before the end."""
