"""What testers can do to a machine: faults, records of its traffic, replay, and slow cards.

All of it works between the queues and the cards, and is absent until it is asked for (docs/faults.md).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from apmatrix.arch import ApmatrixError, Mask
from apmatrix.arch.events import FaultAdded, FaultRemoved
from apmatrix.cards import Fault, Recorder, Replay, Switchboard, TimingModel
from apmatrix.cards.faults import FaultError
from apmatrix.cards.recording import read_exchanges, write_exchange
from apmatrix.config import ConfigError
from apmatrix.emulation.errors import TestbedActive, TestbedError
from apmatrix.machine import UnknownAdapter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from io import FileIO
    from typing import BinaryIO

    from apmatrix.cards import Adapter, Filter
    from apmatrix.cards.recording import Exchange
    from apmatrix.config import Finding, MachineFile
    from apmatrix.config.places import Path as Place
    from apmatrix.emulation.bringup import System
    from apmatrix.machine import Cpc


class Difference(NamedTuple):
    """A recorded request with a different answer now; ``problem`` says how Linux refused it, if it did."""

    exchange: Exchange
    problem: str | None


@dataclass
class _Watch:
    """A filter on some adapters, and the record that it works with."""

    name: str
    adapters: tuple[Adapter, ...]
    filter: Filter

    def start(self) -> None:
        for adapter in self.adapters:
            adapter.filters.add(self.filter)

    def stop(self) -> None:
        for adapter in self.adapters:
            adapter.filters.remove(self.filter)


class _Recording(_Watch):
    """Writes the traffic of some adapters to a file; counts the exchanges that are in it, and those that are lost."""

    def __init__(self, name: str, adapters: tuple[Adapter, ...], file: FileIO) -> None:
        self._recorder = Recorder(self._take)
        super().__init__(name, adapters, self._recorder)
        self._file = file
        self._write = write_exchange(file)
        self.count = 0
        self.lost = 0
        self.trouble: str | None = None

    def stop(self) -> None:
        super().stop()
        self._recorder.end()
        self._file.close()

    def _take(self, exchange: Exchange) -> None:
        try:
            self._write(exchange)
        except OSError as error:  # programs must get their replies even if recording fails
            self.lost += 1
            self.trouble = error.strerror
        else:
            self.count += 1


class Testbed:
    """A machine's faults, record and replay."""

    __test__ = False  # for pytest

    def __init__(self, machine: Cpc) -> None:
        self._machine = machine
        self._switchboard = Switchboard()
        self._wired = False
        self._record: _Recording | None = None
        self._replay: _Watch | None = None
        self._lock = threading.Lock()  # guards all of these

    def equip(self, adapter: Adapter, unit: float | None) -> None:
        """Prepare a new card: the timing model with this unit, in seconds, and the active faults."""
        if unit is not None:
            adapter.filters.add(TimingModel(unit))
        with self._lock:
            if self._wired:
                adapter.filters.add(self._switchboard)

    # faults

    def add_faults(self, faults: Iterable[Fault]) -> None:
        """Add the faults of the file; errors as for :meth:`add_fault`."""
        for fault in faults:
            self.add_fault(fault)

    def add_fault(self, fault: Fault) -> int:
        """Let ``fault`` happen from now on; returns its number. FaultError if its adapter does not exist."""
        known = Mask.of(*self._machine.adapters)
        if fault.adapter is not None and fault.adapter not in known:
            raise FaultError(
                f"there is no adapter {fault.adapter} in {self._machine.name}: {known.ranges() or 'none'}"
            )
        with self._lock:
            number = self._switchboard.switch_on(fault)
            if not self._wired:
                for adapter in self._machine.adapters.values():
                    adapter.filters.add(self._switchboard)
                self._wired = True
        self._machine.announce(FaultAdded(number, str(fault)))
        return number

    def remove_fault(self, number: int | None = None) -> None:
        """End one fault, or all; FaultError if there is no active fault of this number."""
        with self._lock:
            before = self._switchboard.faults()
            self._switchboard.switch_off(number)
            left = self._switchboard.faults()
            if self._wired and not left:
                for adapter in self._machine.adapters.values():
                    adapter.filters.remove(self._switchboard)
                self._wired = False
        for ended in before.keys() - left.keys():
            self._machine.announce(FaultRemoved(ended))

    def faults(self) -> dict[int, tuple[Fault, int]]:
        """Each active fault, by its number, and how often it has happened."""
        return self._switchboard.faults()

    # records

    def require_no_record(self, adapters: Mask | None = None) -> None:
        """TestbedActive or UnknownAdapter if :meth:`start_record` with these adapters would be refused."""
        with self._lock:
            self._require_no_record(adapters)

    def _require_no_record(self, adapters: Mask | None) -> tuple[Adapter, ...]:
        if self._record is not None:
            raise TestbedActive(f"{self._record.name} is already being recorded: apmatrix record stop")
        return self._adapters(adapters)

    def start_record(self, file: FileIO, name: str, adapters: Mask | None = None) -> None:
        """Append every exchange of the adapters, by default of all, to an open file, which belongs to the record.

        ``name`` is what the file is called in sentences.
        """
        with self._lock:
            self._record = _Recording(name, self._require_no_record(adapters), file)
            self._record.start()

    def stop_record(self) -> tuple[str, int]:
        """End the record; returns its name and number of exchanges. TestbedError also if some are missing."""
        with self._lock:
            if self._record is None:
                raise TestbedActive("nothing is being recorded: apmatrix record start FILE")
            ended, self._record = self._record, None
            ended.stop()
        if ended.lost:
            raise TestbedError(
                f"{ended.name}: {ended.lost} exchanges could not be written: {ended.trouble}; "
                f"{ended.count} are recorded"
            )
        return ended.name, ended.count

    def close(self) -> None:
        """End the record when the machine ends."""
        with self._lock:
            if self._record is not None:
                self._record.stop()
                self._record = None

    def start_replay(self, file: BinaryIO, name: str, adapters: Mask | None = None) -> int:
        """Answer requests from a record instead of the adapters' cards; returns its number of exchanges.

        ``name`` is what the open file is called in sentences. RecordingError if there is no record in it.
        """
        exchanges = read_exchanges(file, name)
        with self._lock:
            if self._replay is not None:
                raise TestbedActive(f"{self._replay.name} is already being replayed: apmatrix replay stop")
            self._replay = _Watch(name, self._adapters(adapters), Replay(exchanges))
            self._replay.start()
        return len(exchanges)

    def stop_replay(self) -> str:
        """Let the cards answer again; returns the name of the record."""
        with self._lock:
            if self._replay is None:
                raise TestbedActive("nothing is being replayed: apmatrix replay start FILE")
            ended, self._replay = self._replay, None
            ended.stop()
            return ended.name

    def _adapters(self, wanted: Mask | None) -> tuple[Adapter, ...]:
        found = self._machine.adapters
        if wanted is not None and (missing := wanted - Mask.of(*found)):
            raise UnknownAdapter(f"there is no adapter {missing.ranges()} in {self._machine.name}")
        return tuple(adapter for number, adapter in found.items() if wanted is None or number in wanted)


def send_again(system: System, file: BinaryIO, name: str) -> tuple[int, list[Difference]]:
    """Send the requests of a record through the same queues of ``system``; returns how many, and what differs.

    RecordingError if there is no record in the open file, TestbedError for a queue that the system does not have.
    """
    exchanges = read_exchanges(file, name)
    linux = system.linux
    missing = {exchange.apqn for exchange in exchanges} - linux.ap.queues.keys()
    if missing:
        raise TestbedError(f"{system.name} has no queue {', '.join(map(str, sorted(missing)))}: choose with --from")
    differing = []
    for exchange in exchanges:
        try:
            queue = linux.ap.queues[exchange.apqn]
            reply = linux.zcrypt.send(queue, exchange.message, special=exchange.special)
        except ApmatrixError as error:
            differing.append(Difference(exchange, str(error)))
            continue
        if reply != exchange.reply:
            differing.append(Difference(exchange, None))
    return len(exchanges), differing


def faults_of(file: MachineFile) -> list[Fault]:
    """The faults that a file describes; ConfigError has the place of each that is not valid."""
    faults: list[Fault] = []
    findings: list[Finding] = []

    known = {number for adapter in file.adapters for number in adapter.numbers}

    def read(text: str, path: Place, numbers: Mask | None) -> None:
        try:
            fault = Fault.parse(text)
            if numbers is None:
                if fault.adapter not in (None, *known):
                    raise FaultError(f"there is no adapter {fault.adapter} in this machine")
                faults.append(fault)
                return
            if fault.adapter is not None:
                raise FaultError("adapter= is not allowed here: the fault already belongs to an adapter")
            faults.extend(replace(fault, adapter=number) for number in numbers)
        except FaultError as error:
            findings.append(file.error(path, str(error)))

    for index, text in enumerate(file.machine.faults):
        read(text, ("machine", "faults", index), None)
    for number, adapter in enumerate(file.adapters):
        for index, text in enumerate(adapter.faults):
            read(text, ("adapter", number, "faults", index), adapter.numbers)
    if findings:
        raise ConfigError(findings)
    return faults
