"""The requests of testers to a running machine: faults, records of its traffic, replay."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from io import BufferedReader
from typing import TYPE_CHECKING

from apmatrix.cards import Fault
from apmatrix.cards.faults import FaultError
from apmatrix.cards.recording import RecordingError
from apmatrix.emulation.errors import TestbedActive
from apmatrix.emulation.testbed import send_again
from apmatrix.machine import UnknownAdapter
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.operations import Asked, answers
from apmatrix.service.protocol.testbed import (
    AddFault,
    CompareRecord,
    ComparisonFacts,
    DifferenceFacts,
    FaultFacts,
    ListFaults,
    PrepareRecord,
    RecordFacts,
    RemoveFault,
    StartRecord,
    StartReplay,
    StopRecord,
    StopReplay,
)
from apmatrix.service.recordfile import take_record

if TYPE_CHECKING:
    from collections.abc import Iterator


@answers(AddFault)
def add_fault(asked: Asked, request: AddFault) -> FaultFacts:
    """Add a fault; ControlError for words that make no sense."""
    with _exit_codes():
        fault = Fault.parse(request.words)
        return FaultFacts(asked.emulation.testbed.add_fault(fault), str(fault), 0)


@answers(ListFaults)
def list_faults(asked: Asked, _request: ListFaults) -> tuple[FaultFacts, ...]:
    """The active faults."""
    found = asked.emulation.testbed.faults().items()
    return tuple(FaultFacts(number, str(fault), hits) for number, (fault, hits) in found)


@answers(RemoveFault)
def remove_fault(asked: Asked, request: RemoveFault) -> tuple[FaultFacts, ...]:
    """End a fault, or all; ControlError if the number is not that of an active fault."""
    with _exit_codes():
        asked.emulation.testbed.remove_fault(request.number)
    return list_faults(asked, ListFaults())


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Give errors the exit codes that they have elsewhere.

    Starting what is active and stopping what is not has that of machines and guests; what cannot be read, and a
    number that does not exist, that of wrong input.
    """
    try:
        yield
    except TestbedActive as error:
        raise ControlError(str(error), ExitCode.UNREACHABLE) from error
    except (FaultError, RecordingError, UnknownAdapter) as error:
        raise ControlError(str(error), ExitCode.UNREADABLE) from error


@answers(PrepareRecord)
def prepare_record(asked: Asked, request: PrepareRecord) -> None:
    """TestbedError if these adapters cannot be recorded now."""
    with _exit_codes():
        asked.emulation.testbed.require_no_record(request.adapters)


@answers(StartRecord)
def start_record(asked: Asked, request: StartRecord) -> None:
    """Record the traffic; TestbedError if that is impossible."""
    with ExitStack() as unless_started, _exit_codes():
        file = unless_started.enter_context(take_record(asked, request.file, "ab"))
        asked.emulation.testbed.start_record(file, request.file, request.adapters)
        unless_started.pop_all()


@answers(StopRecord)
def stop_record(asked: Asked, _request: StopRecord) -> RecordFacts:
    """End the record; TestbedError if there is none."""
    with _exit_codes():
        return RecordFacts(*asked.emulation.testbed.stop_record())


@answers(StartReplay)
def start_replay(asked: Asked, request: StartReplay) -> RecordFacts:
    """Answer requests from a record; TestbedError if that is impossible."""
    with BufferedReader(take_record(asked, request.file, "rb")) as file, _exit_codes():
        return RecordFacts(request.file, asked.emulation.testbed.start_replay(file, request.file, request.adapters))


@answers(StopReplay)
def stop_replay(asked: Asked, _request: StopReplay) -> RecordFacts:
    """Let the cards answer again; TestbedError if they already do."""
    with _exit_codes():
        return RecordFacts(asked.emulation.testbed.stop_replay())


@answers(CompareRecord)
def compare_record(asked: Asked, request: CompareRecord) -> ComparisonFacts:
    """Send a record's requests again; TestbedError if that is impossible."""
    with BufferedReader(take_record(asked, request.file, "rb")) as file, _exit_codes():
        count, differing = send_again(asked.choose(request.system), file, request.file)
    return ComparisonFacts(
        count,
        tuple(DifferenceFacts(str(exchange.apqn), exchange.time, problem) for exchange, problem in differing),
    )
