"""Trials: the same faults and the same work on a real kernel and on the emulated Linux, and what can be seen of it.

A Linux is asked line by line, in the language of ``tests/data/differential/agent.c``. Time is seen as the step at
which a request ends: at once, at a scan, or only when the fault is over.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from apmatrix.arch import Apqn, Mask, Matrix
from apmatrix.cards import AdapterState
from apmatrix.cards.faults import Fault, Switchboard
from apmatrix.linux.zcrypt.messages import cca_control, ep11_control
from support.recorded import recorded_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from apmatrix.cards import Clock

DATA: Final = Path(__file__).parents[2] / "data" / "differential"
MACHINE: Final = DATA / "machine.toml"
LPAR: Final = "linux"
ALL_ADAPTERS: Final = "4-6"
SCAN: Final = "W bus/ap/scans 1"
CONFIG_TIME: Final = 120
"""Seconds until Linux scans by itself, the most that it takes: a trial has its own scans."""

OFF: Final = '"0\\n"'
_OF_REQUESTS: Final = ("requestq_count", "pendingq_count")
_UNEQUAL: Final = re.compile(r"ap/(?:scans|bindings_complete_count|config_time) ")
"""Attributes that count what happened in the trials before."""

_RANDOM: Final = b"RL\x00\x0aRANDOM  \x00\x02\x00\x02"


class Subject(ABC):
    """A Linux on the machine of ``machine.toml``."""

    def __init__(self, clock: Clock) -> None:
        self.machine, self.level = recorded_machine(clock, MACHINE)
        self.board = Switchboard()
        for adapter in self.machine.adapters.values():
            adapter.filters.add(self.board)

    @abstractmethod
    def ask(self, line: str) -> list[str]:
        """Do what a line of the agent's language says; the answer's lines."""

    @abstractmethod
    def settle(self) -> None:
        """Let time pass until nothing happens any more without a scan, except for polling."""

    def plug(self, adapters: str) -> None:
        """Let the LPAR have these adapters."""
        usage = self.level.effective.aqm
        self.machine.set_profile(LPAR, Matrix(Mask.parse_ids(adapters), usage, usage))


@dataclass(frozen=True)
class Case:
    """A trial: ``work`` is done while ``faults`` are active. Both are words: see ``docs/faults.md`` and ``_WORK``."""

    work: tuple[str, ...]
    faults: tuple[str, ...]

    @classmethod
    def parse(cls, line: str) -> Case:
        """Read ``WORK; WORK …: FAULT; FAULT …``."""
        work, _, faults = line.partition(":")
        return cls(*(tuple(part.strip() for part in text.split(";") if part.strip()) for text in (work, faults)))

    def __str__(self) -> str:
        return f"{'; '.join(self.work)}: {'; '.join(self.faults)}".strip()


class Trial:
    """One case on one subject. ``lines`` is what was seen."""

    def __init__(self, subject: Subject, case: Case) -> None:
        self.subject = subject
        self.case = case
        self.lines = [f"# {case}"]
        self.state: dict[str, str] = {}
        self.requests = 0

    def run(self) -> list[str]:
        """Go through the steps; returns what was seen."""
        self._begin()
        for work in self.case.work:
            if work.startswith("replug "):
                self.subject.plug(_without(work.split()[1]))
                self.subject.ask(SCAN)
                self._see("without it")
        for fault in self.case.faults:
            self.subject.board.switch_on(Fault.parse(fault))
        for work in self.case.work:
            self._do(work)
            if work != self.case.work[-1]:
                self.subject.settle()
        self._see("at once")
        for number in (1, 2):
            self.subject.ask(SCAN)
            self._see(f"scan {number}")
        self._mend()
        for number in (1, 2):
            self.subject.ask(SCAN)
            self._see(f"scan {number} after the faults")
        requests = [work for work in self.case.work if work.split()[0] in _REQUESTS]
        for work in requests:
            self._do(work)
        if requests:
            self._see("again")
        self._end()
        return self.lines

    def _do(self, work: str) -> None:
        kind, *words = work.split()
        if kind in _REQUESTS:
            self.requests += 1
            self.subject.ask(f"Q {self.requests} {_REQUESTS[kind](*words)}")
        elif kind == "replug":
            self.subject.plug(ALL_ADAPTERS)
            self.subject.ask(SCAN)
        elif kind == "state":
            self.subject.machine.set_adapter_state(int(words[0]), AdapterState(words[1]))
        else:
            self.lines += [f"{work}: {answer}" for line in _WRITES[kind](*words) for answer in self.subject.ask(line)]

    def _begin(self) -> None:
        for number in Mask.parse_ids(ALL_ADAPTERS):
            self.subject.ask(f"W bus/ap/devices/card{number:02x}/request_count 0")
        self.subject.ask("N")
        self.subject.ask("J")
        self.state = dict(self._attributes())

    def _see(self, step: str) -> None:
        """Add what has changed since the last step."""
        self.subject.settle()
        seen = [f"= {line}" for line in sorted(self.subject.ask("J"))]
        seen += [re.sub(r"COMPLETECOUNT=\d+", "COMPLETECOUNT=n", line) for line in self.subject.ask("N")]
        state = dict(self._attributes())
        seen += [f"  {name} {text}" for name, text in state.items() if self.state.get(name) != text]
        devices = set(map(_device, state))
        gone = dict.fromkeys(
            name if _device(name) in devices else _device(name) for name in self.state if name not in state
        )
        seen += [f"  {name} is gone" for name in gone]
        self.state = state
        if seen:
            self.lines += [f"> {step}", *seen]

    def _attributes(self) -> Iterator[tuple[str, str]]:
        for line in self.subject.ask("S"):
            if not _UNEQUAL.match(line):
                name, _, text = line.partition(" ")
                yield name, text

    def _mend(self) -> None:
        """End what is wrong with the machine."""
        self.subject.board.switch_off()
        for number in self.subject.machine.adapters:
            self.subject.machine.set_adapter_state(number, AdapterState.ONLINE)

    def _end(self) -> None:
        """Leave the subject as it was, for the next trial; what that takes is part of what was seen."""
        repairs = list(self._repairs())
        for line in repairs:
            self.lines += [f"{line}: {answer}" for answer in self.subject.ask(line)]
        if repairs:
            self.subject.ask(SCAN)
            self._see("the end")
        if any(word in str(self.case) for word in ("bind", "replug", "tapq")):
            self._renew()

    def _renew(self) -> None:
        """Let card 5 have been found just now: its queues have an order in Linux, which their history changes."""
        for adapters in (_without("5"), ALL_ADAPTERS):
            self.subject.plug(adapters)
            self.subject.ask(SCAN)
            self.subject.settle()
        self._do("random")  # or the entropy thread, if it failed meanwhile, would ask at any time
        self.subject.settle()

    def _repairs(self) -> Iterator[str]:
        for device in sorted(dict.fromkeys(map(_device, self.state)), reverse=True):  # cards first
            if "." in device and self.state.get(f"{device}/driver") is None:
                yield f"W {_path(device, 'driver_override')} "
                yield f"W bus/ap/drivers/cex4queue/bind {device}"
            if self.state.get(f"{device}/online") == OFF:
                yield f"W {_path(device, 'online')} 1"
            if "." in device and any(self.state[f"{device}/{name}"] != OFF for name in _OF_REQUESTS):
                yield f"W {_path(device, 'reset')} 1"


def boot(subject: Subject) -> list[str]:
    """Everything that a Linux shows after a boot without a fault."""
    subject.ask(f"W bus/ap/config_time {CONFIG_TIME}")
    subject.settle()
    return ["# boot", *(line for line in subject.ask("S") if not _UNEQUAL.match(line))]


def _without(adapter: str) -> str:
    return ",".join(str(number) for number in Mask.parse_ids(ALL_ADAPTERS) if number != int(adapter))


def _cca(apqn: str) -> str:
    adapter, domain = Apqn.parse(apqn)
    control = cca_control(_RANDOM, domain, reply_room=1024, data_room=64)
    return f"C {adapter:x} {control.hex()}"


def _ep11(apqn: str) -> str:
    adapter, domain = Apqn.parse(apqn)
    strings = b"".join(b"\x04\x04" + number.to_bytes(4, "big") for number in (0x00010026, domain, 1, 0))
    payload = bytes((0x30, len(strings))) + strings
    return f"E {adapter:x} {domain:x} {ep11_control(payload, domain).hex()}"


def _device(name: str) -> str:
    return name.partition("/")[0]


def _path(device: str, name: str) -> str:
    return f"bus/ap/devices/{device}/{name}"


_REQUESTS: Final[Mapping[str, Callable[..., str]]] = {
    "rsa": lambda: "M",
    "cca": _cca,
    "ep11": _ep11,
    "random": lambda: "H",
    "read": lambda device, name: f"R {_path(device, name)}",
}
_WRITES: Final[Mapping[str, Callable[..., list[str]]]] = {
    "write": lambda device, name, data: [f"W {_path(device, name)} {data}"],
    "unbind": lambda apqn: [f"W bus/ap/drivers/cex4queue/unbind {apqn}"],
    "rebind": lambda apqn: [f"W bus/ap/drivers/cex4queue/{name} {apqn}" for name in ("unbind", "bind")],
    "nothing": list,
}
