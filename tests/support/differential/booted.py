"""A real kernel as the subject of trials."""

from __future__ import annotations

import queue
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from apmatrix.cards.clock import RealClock
from apmatrix.faces.boot import BootedGuest, GuestError, Hardware, LevelProcessor, Software
from support.differential.trial import DATA, Subject

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE: Final = 30.0
QUIET: Final = 0.06
"""Seconds without an AP instruction after which nothing is expected to happen: Linux polls at least every 40 ms."""

BUSY: Final = 0.8
"""Seconds after which a Linux that goes on polling counts as settled."""


def build_agent(directory: Path) -> bytes:
    """The agent, a program for s390x."""
    program = directory / "agent"
    options = ("-D_GNU_SOURCE", "-O2", "-w", "-static", "-pthread", "-o")
    subprocess.run(["s390x-linux-gnu-gcc", *options, program, DATA / "agent.c"], check=True)
    return program.read_bytes()


class BootedSubject(Subject):
    """The kernel of a Debian suite, in QEMU. Use as a context manager. ``release`` is the kernel's."""

    def __init__(self, suite: str, agent: bytes) -> None:
        super().__init__(RealClock())
        processor = LevelProcessor(self.machine, self.level)
        software = Software(suite, command="agent", extra={"usr/bin/agent": agent})
        kernel, initrd = software.prepare(lambda _: None)
        self._guest = BootedGuest(Hardware(kernel, initrd, processor.facilities), processor)
        self._lines: queue.Queue[str] = queue.Queue()
        self._rest = ""
        self._snapshot: set[str] = set()
        self.release = ""

    def __enter__(self) -> Self:
        self._guest.__enter__()
        self.release = self._guest.wait_until_ready()
        threading.Thread(target=self._run, daemon=True).start()
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._guest.__exit__()
        self.machine.close()

    def _run(self) -> None:
        with suppress(GuestError):  # at the end, which comes while the agent is running
            self._guest.run_command(self._receive)

    def _receive(self, text: bytes) -> None:
        *lines, self._rest = (self._rest + text.decode("latin-1").replace("\r", "")).split("\n")
        for line in lines:
            self._lines.put(line)

    def _answer(self) -> list[str]:
        answer: list[str] = []
        while (line := self._lines.get(timeout=PATIENCE)) != ".":
            answer.append(line)
        return answer

    def ask(self, line: str) -> list[str]:
        """Type it at the guest's console."""
        self._guest.console.type(f"{line}\n")
        answer = self._answer()
        if line != "S":
            return answer
        for changed in answer:
            (self._snapshot.discard if changed[0] == "-" else self._snapshot.add)(changed[1:])
        return sorted(self._snapshot)

    def settle(self) -> None:
        """Wait until the guest executes no more AP instructions, or goes on polling."""
        end = time.monotonic() + BUSY
        executed = -1
        while executed != self._guest.service.executed and time.monotonic() < end:
            executed = self._guest.service.executed
            self.ask("P")  # it has run since
            time.sleep(QUIET)
            self.ask("P")
