"""What testers do to a machine: faults, records of its traffic, replay."""

from __future__ import annotations

import msgspec

from apmatrix.arch import Mask
from apmatrix.service.protocol.messages import MachineRequest, Unsigned


class FaultFacts(msgspec.Struct, frozen=True):
    """An active fault, in the words of docs/faults.md, and how often it has happened."""

    number: int
    fault: str
    happened: int


class AddFault(MachineRequest[FaultFacts], frozen=True):
    """Make queues or cards fail from now on."""

    words: str


class ListFaults(MachineRequest[tuple[FaultFacts, ...]], frozen=True):
    """The active faults."""


class RemoveFault(MachineRequest[tuple[FaultFacts, ...]], frozen=True):
    """End a fault, or all; the answer has the remaining ones."""

    number: Unsigned | None = None


class RecordFacts(msgspec.Struct, frozen=True):
    """The name of a record's file, and the number of exchanges in it."""

    file: str
    exchanges: int = 0


class PrepareRecord(MachineRequest[None], frozen=True):
    """Refuse what StartRecord would refuse, before there is a file."""

    adapters: Mask | None = None


class StartRecord(MachineRequest[None], frozen=True):
    """Record the traffic of adapters, by default of all, in a file whose descriptor comes with the request.

    ``file`` is its name in sentences, here and below: the machine opens nothing, since a path means in a command's
    mount namespace what it does not mean in the machine's.
    """

    file: str
    adapters: Mask | None = None


class StopRecord(MachineRequest[RecordFacts], frozen=True):
    """End the record."""


class StartReplay(MachineRequest[RecordFacts], frozen=True):
    """Answer requests from a record, instead of these adapters' cards, by default of all.

    The record's descriptor comes with the request.
    """

    file: str
    adapters: Mask | None = None


class StopReplay(MachineRequest[RecordFacts], frozen=True):
    """Let the cards answer again."""


class DifferenceFacts(msgspec.Struct, frozen=True):
    """A recorded request with another reply now; ``problem`` says how Linux refused it, if it did."""

    apqn: str
    time: float
    problem: str | None


class ComparisonFacts(msgspec.Struct, frozen=True):
    """How many requests were sent again, and those with another reply."""

    exchanges: int
    differing: tuple[DifferenceFacts, ...]


class CompareRecord(MachineRequest[ComparisonFacts], frozen=True):
    """Send the requests of a record again, through the same queues of a system.

    The record's descriptor comes with the request.
    """

    file: str
    system: str | None = None
