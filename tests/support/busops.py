"""More operations of tests/data/oracle/sysops.c: what the kernel tells, time, and changes of the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import Apqn, Mask, Matrix, ResponseCode
from apmatrix.cards import AdapterState, QueueFunction, ScriptedAnswers
from support.sysops import SysOps, escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apmatrix.cards import ManualClock
    from apmatrix.linux import LinuxSystem
    from apmatrix.linux.core import Uevent
    from apmatrix.machine import Cpc


class Changes:
    """Changes of the machine from outside: the operation ``M`` and its words."""

    def __init__(self, machine: Cpc) -> None:
        self.machine = machine
        self.scripts: list[tuple[int, ScriptedAnswers]] = []

    def make(self, kind: str, *words: str) -> None:
        """``state 5 deconfigured``, ``profile 4,5 0x47 0x47``, ``type 5 13``, ``tapq 05.0004 3``, ``tapq off``."""
        if kind == "state":
            self.machine.set_adapter_state(int(words[0]), AdapterState(words[1]))
        elif kind == "profile":
            self.machine.set_profile("linux", Matrix(*map(Mask.parse_ids, words)))
        elif kind == "type":
            self.machine.adapters[int(words[0])].hardware_type = int(words[1])
        elif words == ("off",):
            self._stop_answers()
        else:
            self._answer(Apqn.parse(words[0]), ResponseCode(int(words[1])))

    def _answer(self, apqn: Apqn, code: ResponseCode) -> None:
        script = ScriptedAnswers(QueueFunction.TAPQ, [code], apqns=[apqn], forever=True)
        self.machine.adapters[apqn.adapter].filters.add(script)
        self.scripts.append((apqn.adapter, script))

    def _stop_answers(self) -> None:
        for adapter, script in self.scripts:
            self.machine.adapters[adapter].filters.remove(script)
        self.scripts.clear()


class BusOps(SysOps):
    """The operations, and ``N``, ``Z`` and ``M``, on a system whose machine has a manual clock."""

    def __init__(self, system: LinuxSystem, clock: ManualClock) -> None:
        super().__init__(system)
        self.clock = clock
        self.changes = Changes(system.machine)
        self.events: list[Uevent] = []
        system.uevents.subscribe(self.events.append)
        self._log_mark = len(system.log.lines())

    def run(self, line: str) -> Iterator[str]:
        """The output of one script line."""
        if line[:1] == "N":
            yield line
            yield from self.news()
        elif line[:1] == "M":
            yield line
            self.changes.make(*line[2:].split())
        else:
            yield from super().run(line)

    def answers(self) -> dict[str, Callable[[str, str], str]]:
        """The operations that answer with one line."""
        return super().answers() | {"Z": lambda milliseconds, _: self.sleep(milliseconds)}

    def sleep(self, milliseconds: str) -> str:
        """Let time pass."""
        self.clock.advance(int(milliseconds) / 1000)
        return "ok"

    def news(self) -> Iterator[str]:
        """Uevents, then the kernel log."""
        for event in self.events:
            parts = (escape(part.encode("latin-1")) for part in event.lines() if not part.startswith("SEQNUM="))
            yield f"  ~ {' '.join(parts)}"
        self.events.clear()
        entries = self.system.log.lines()
        yield from (f"  ^ {entry}" for entry in entries[self._log_mark :])
        self._log_mark = len(entries)
