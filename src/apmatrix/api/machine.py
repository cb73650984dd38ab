"""An emulated machine, from a file, from text or from code."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import inf
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Self, TypeVar

from apmatrix.api.configuration import AdapterConfig, LparConfig, MasterKeyConfig, Words, as_table, plain
from apmatrix.api.errors import NotVirtual, UnknownName
from apmatrix.api.faults import ActiveFault
from apmatrix.api.linux import GuestLinux, Linux, LparLinux
from apmatrix.api.values import State, one_of
from apmatrix.arch.arguments import checked
from apmatrix.cards import AdapterState, Fault, Inline, VirtualClock
from apmatrix.config import load, parse, read_adapter, read_tables
from apmatrix.emulation import Emulation, look
from apmatrix.rules.names import meant
from apmatrix.service.server import MachineServer

if TYPE_CHECKING:
    from apmatrix.config import MachineFile
    from apmatrix.hosts import MatrixView, Refusal

__tracebackhide__ = True  # pytest shows the caller's line instead

L = TypeVar("L", bound=Linux)


class Machine:
    """A running machine: its cards, its LPARs, their Linux systems and guests. A context manager that ends it.

    ``Machine(adapters, lpars)`` is a machine from code, ``master_keys`` are those of its coprocessors; the other
    keyword arguments are the keys of ``[machine]``, with the same defaults. :meth:`from_file` and :meth:`from_text`
    take what docs/file.md describes. All of them bring everything up before they return.

    With ``virtual_time`` nothing really waits: time passes by :meth:`advance`, and by itself while a call waits for a
    card's reply. ConfigError if the description makes no sense, or asks for what the machine will refuse;
    ``allow_refused`` lets the latter through, and ``refusals`` lists what was refused.

    Methods may be called from several threads.
    """

    @checked
    def __init__(
        self,
        adapters: Iterable[AdapterConfig] = (),
        lpars: Iterable[LparConfig] = (),
        *,
        master_keys: Iterable[MasterKeyConfig] = (),
        name: str = "machine",
        max_adapter: int = 255,
        max_domain: int = 255,
        features: Iterable[str] = ("APSC", "APXA", "QACT", "RC8A"),
        facilities: Iterable[int] = (12, 15, 76),
        timing: float | None = None,
        faults: Words = (),
        virtual_time: bool = False,
        allow_refused: bool = False,
    ) -> None:
        settings = {
            "name": name,
            "max_adapter": max_adapter,
            "max_domain": max_domain,
            "features": features,
            "facilities": facilities,
            "timing": timing,
            "faults": faults,
        }
        tables = {
            "machine": plain(settings),
            **plain({"adapter": adapters, "master_key": master_keys, "lpar": lpars}),
        }
        self._bring_up(read_tables(tables, name, allow_refused=allow_refused), virtual_time=virtual_time)

    @classmethod
    @checked
    def from_file(
        cls, path: str | os.PathLike[str], *, virtual_time: bool = False, allow_refused: bool = False
    ) -> Self:
        """The machine that a file describes."""
        machine = cls.__new__(cls)
        machine._bring_up(load(path, allow_refused=allow_refused), virtual_time=virtual_time)
        return machine

    @classmethod
    @checked
    def from_text(
        cls, text: str, *, name: str = "machine.toml", virtual_time: bool = False, allow_refused: bool = False
    ) -> Self:
        """The machine that the text of a file describes; ``name`` is what error messages call that file."""
        machine = cls.__new__(cls)
        machine._bring_up(parse(text, name, allow_refused=allow_refused), virtual_time=virtual_time)
        return machine

    def _bring_up(self, file: MachineFile, *, virtual_time: bool) -> None:
        clock, workers = (VirtualClock(), Inline()) if virtual_time else (None, None)
        self._emulation = Emulation.start(file, clock=clock, workers=workers)
        self._server = MachineServer(self._emulation)
        self._closed = False

    def close(self) -> None:
        """Stop all guests, the innermost first, and end the machine; programs that run on it are killed.

        Nothing happens the second time.
        """
        if not self._closed:
            self._closed = True
            self._server.close()
            self._emulation.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The machine's name."""
        return self._emulation.machine.name

    # its systems

    @property
    def lpars(self) -> tuple[LparLinux, ...]:
        """All LPARs, in the order of the description."""
        return tuple(LparLinux(self._server, (lpar.name,)) for lpar in self._emulation.file.lpars)

    @property
    def guests(self) -> tuple[GuestLinux, ...]:
        """All guests at all depths, running or not, a host before its guests."""
        known = [names for names, _ in self._emulation.file.guests()]
        started = [guest.names for guest in self._emulation.guests()]
        return tuple(GuestLinux(self._server, names) for names in dict.fromkeys((*known, *started)))

    @property
    def systems(self) -> tuple[Linux, ...]:
        """All LPARs and guests."""
        return (*self.lpars, *self.guests)

    @checked
    def lpar(self, name: str | None = None) -> LparLinux:
        """The LPAR of that name, by default the first; UnknownName lists the LPARs."""
        return _only(self.lpars, self.lpars[0].name if name is None else name, "LPAR")

    @checked
    def guest(self, name: str) -> GuestLinux:
        """A guest by its name: ``guest1``, or ``kvm1/guest1`` if there are several. UnknownName lists them."""
        return _only(self.guests, name, "guest")

    @checked
    def system(self, name: str) -> Linux:
        """An LPAR's or a guest's Linux by its name; UnknownName lists the systems."""
        return _only(self.systems, name, "system")

    @checked
    def run(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        input: str | None = None,  # noqa: A002 - as subprocess.run has it
        timeout: float | None = None,
        check: bool = False,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        udev: bool = False,
        keep: Iterable[str | os.PathLike[str]] = (),
    ) -> CompletedProcess[str]:
        """Run a program on the first LPAR's Linux: :meth:`Linux.run`."""
        return self.lpar().run(
            command, input=input, timeout=timeout, check=check, cwd=cwd, env=env, udev=udev, keep=keep
        )

    # looking at it

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """What the machine or a kernel refused while the machine was brought up: where, what, errno and reason."""
        return tuple(self._emulation.refusals)

    def view(self) -> MatrixView:
        """The matrix of each LPAR, as it is now: who holds which queue."""
        return look(self._emulation)

    # changing it

    @checked
    def set_adapter(self, number: int, state: State) -> None:
        """Make a card ``"online"``, ``"deconfigured"`` or ``"checkstopped"``; UnknownAdapter if there is none.

        A card that stops working loses what is in its queues. Linux scans if it was configured on or off, and finds a
        failure with the next request, or its next scan.
        """
        self._emulation.machine.set_adapter_state(number, AdapterState(one_of(state, State, "the state of a card")))

    @checked
    def plug(self, adapter: AdapterConfig) -> None:
        """Put a card, or several, into the running machine. LPARs that have it in their profile scan.

        AdapterRefused if the number is taken, ConfigError if the description makes no sense.
        """
        entry = read_adapter(as_table(adapter), self.name)
        faults = [
            replace(Fault.parse(words), adapter=number) for words, number in product(entry.faults, entry.numbers)
        ]
        self._emulation.plug(entry)
        self._emulation.testbed.add_faults(faults)

    @checked
    def add_fault(self, words: str) -> ActiveFault:
        """Make queues or cards fail from now on: ``"adapter=5 verb=PK reply=0x90 times=1"`` (docs/faults.md).

        FaultError for words that make no sense.
        """
        fault = Fault.parse(words)
        return ActiveFault(self._emulation.testbed, self._emulation.testbed.add_fault(fault), str(fault))

    @property
    def faults(self) -> tuple[ActiveFault, ...]:
        """The active faults."""
        testbed = self._emulation.testbed
        return tuple(ActiveFault(testbed, number, str(fault)) for number, (fault, _) in testbed.faults().items())

    # time

    @property
    def time(self) -> float:
        """Seconds since the machine was started; the time of a log entry counts from when its Linux booted."""
        return self._emulation.machine.clock.now()

    @checked
    def advance(self, seconds: float) -> None:
        """Let virtual time pass: all that is due by then happens before this returns.

        NotVirtual in real time, ValueError for a time that is negative or has no end.
        """
        clock = self._emulation.machine.clock
        if not isinstance(clock, VirtualClock):
            raise NotVirtual(f"{self.name} runs in real time: bring it up with virtual_time=True")
        if not 0 <= seconds < inf:
            raise ValueError(f"time cannot be advanced by {seconds} seconds: give a number from 0 on")
        clock.advance(seconds)

    def __repr__(self) -> str:
        return f"<Machine {self.name}: {', '.join(lpar.name for lpar in self.lpars)}>"


def _only(systems: Sequence[L], name: str, kind: str) -> L:
    """The system of that name: all its names, or the last ones if they mean one system only."""
    named = meant(name, (system.names for system in systems))
    found = [system for system in systems if system.names in named]
    if len(found) == 1:
        return found[0]
    known = ", ".join(system.name for system in found or systems) or "none"
    raise UnknownName(f"there {'are several' if found else 'is no'} {kind} {name}: {known}")
