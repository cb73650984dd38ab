"""A real Linux in QEMU with and without cards, what an AP instruction costs, and RSA through the cards."""

from __future__ import annotations

import contextlib
import functools
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa

from apmatrix.arch import CardType, Mask, Matrix
from apmatrix.cards.arithmetic import CrtKey, crt
from apmatrix.faces.boot import BootedGuest, Hardware, LevelProcessor, PackageError, Qemu, QemuError, Software, Way
from apmatrix.faces.boot.bridge import Bridge
from apmatrix.faces.boot.console import Console, Mark
from apmatrix.faces.boot.service import Service
from apmatrix.faces.gdb import Stop
from apmatrix.machine import ActivationProfile, Cpc
from benchmarks.report import Result, rate

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(__file__).parent.parent / "tests" / "data" / "ica.c"
COMPILER = "s390x-linux-gnu-gcc"
BOOTS = 5
STOPS = 200
INSTRUCTIONS = 2000
REQUESTS = 10_000


def results() -> list[Result]:
    """Everything this module measures; nothing where QEMU, its packages or the compiler are missing."""
    if shutil.which(COMPILER) is None:
        print(f"boot: {COMPILER} is missing", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as directory:
        try:
            return _Measurements(Path(directory)).results()
        except (PackageError, QemuError) as error:
            print(f"boot: {error}", file=sys.stderr)
            return []


class _Measurements:
    def __init__(self, directory: Path) -> None:
        self.machine = Cpc("bench")
        self.machine.add_adapter(5, CardType.parse("CEX8C"))
        self.machine.add_adapter(6, CardType.parse("CEX8A"))
        matrix = Matrix(Mask.of(5, 6), Mask.of(4, 0xAB), Mask.of(4))
        level = self.machine.add_lpar(ActivationProfile("lpar", matrix)).level
        self.processor = LevelProcessor(self.machine, level)
        program = directory / "ica"
        subprocess.run([COMPILER, "-O2", "-static", "-o", program, PROGRAM], check=True)
        self.request, self.arithmetic = _request()
        self.files = {"usr/bin/ica": program.read_bytes(), "request": self.request}

    def results(self) -> list[Result]:
        stop = self._bare_stop()
        found = self._boots()
        for way in Way:
            instruction, alone, together = self._work(way)
            found += [
                Result(f"AP instruction intercepted, {way.value}", instruction, "ms", "bare stop and continue", stop),
                Result(f"RSA-2048 CRT in a guest, {way.value}, 1 process", alone, "/s", "1 core's", self.arithmetic),
                Result(
                    f"RSA-2048 CRT in a guest, {way.value}, 2 processes", together, "/s", "1 core's", self.arithmetic
                ),
            ]
        return found

    def _hardware(self, command: str) -> Hardware:
        software = Software(command=command, extra=self.files)
        kernel, initrd = software.prepare(lambda _: None)
        return Hardware(kernel, initrd, self.processor.facilities)

    def _bare_stop(self) -> float:
        """Milliseconds to continue and stop at once: the breakpoint is where the processor stands."""
        with Qemu(self._hardware("true")) as qemu:

            def stopped(*_: object) -> None:
                raise _AtHandlerError

            service = Service(self.processor.execute, qemu.storage)
            service.serve = stopped  # type: ignore[method-assign, assignment]
            bridge = Bridge(qemu.stub, qemu.storage, service, way=Way.BREAKPOINT)
            bridge.attach(60)
            with contextlib.suppress(_AtHandlerError):
                bridge.run()
            start = time.perf_counter()
            for _ in range(STOPS):
                qemu.stub.resume()
                if not isinstance(qemu.stub.wait(10), Stop):
                    raise QemuError("QEMU does not stop at a breakpoint where the processor stands")
            return (time.perf_counter() - start) / STOPS * 1000

    def _boots(self) -> list[Result]:
        """Seconds to the first program, with cards by each way, beside the same boot without: medians."""
        hardware = self._hardware("true")
        boots: dict[str, Callable[[], None]] = {"without": lambda: _boot_without(hardware)}
        boots |= {way.value: functools.partial(self._boot, hardware, way) for way in Way}
        times: dict[str, list[float]] = {name: [] for name in boots}
        for _ in range(BOOTS):  # in turns, so that all see the same noise
            for name, action in boots.items():
                times[name].append(_timed(action))
        medians = {name: statistics.median(taken) for name, taken in times.items()}
        return [
            Result(f"boot with cards, {way.value}", medians[way.value], "s", "without", medians["without"], "≤ 1.15")
            for way in Way
        ]

    def _boot(self, hardware: Hardware, way: Way) -> None:
        with BootedGuest(hardware, self.processor, way=way) as guest:
            guest.wait_until_ready()

    def _work(self, way: Way) -> tuple[float, float, float]:
        """Milliseconds per AP instruction, and RSA operations per second of one process and of two."""
        count = REQUESTS if way is Way.MAILBOX else REQUESTS // 10
        problem = f"ica problem {INSTRUCTIONS}"  # each ends with a signal, with us or without
        intercepted = self._run(problem, way)[0] - self._run_without(problem)
        alone, answers = self._run(f"ica rsa /request {count // 4} 1", way)
        together, more = self._run(f"ica rsa /request {count} 2", way)
        if (answers + more).count(b" wrong 0 failed 0 ") != 3:
            raise RuntimeError(f"answers are missing or wrong: {(answers + more).decode()}")
        return intercepted / INSTRUCTIONS * 1000, count / 4 / alone, count / together

    def _run_without(self, command: str) -> float:
        """Seconds that a command takes in a guest without anybody attached."""
        with Qemu(self._hardware(command)) as qemu:
            console = Console(qemu.console)
            qemu.stub.resume()
            _await(console, "begin")
            return _timed(lambda: _await(console, "end"))

    def _run(self, command: str, way: Way) -> tuple[float, bytes]:
        """Seconds that a command took in a guest, and its output."""
        output = bytearray()
        with BootedGuest(self._hardware(command), self.processor, way=way) as guest:
            guest.wait_until_ready()
            seconds = _timed(lambda: guest.run_command(output.extend))
            return seconds, bytes(output)


class _AtHandlerError(Exception):
    """The first AP instruction has arrived."""


def _boot_without(hardware: Hardware) -> None:
    """The same boot, and nobody attached."""
    with Qemu(hardware) as qemu:
        qemu.stub.resume()
        _await(Console(qemu.console), "ready")


def _await(console: Console, name: str) -> None:
    while not console.ended:
        for event in console.events(1):
            if isinstance(event, Mark) and event.name == name:
                return
    raise QemuError(f"a guest without cards ended before it said {name}")


def _timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _request() -> tuple[bytes, float]:
    """A private-key operation for tests/data/ica.c, and how many of them a core does in a second."""
    private = rsa.generate_private_key(65537, 2048).private_numbers()
    p, q = max(private.p, private.q), min(private.p, private.q)
    dp, dq, inverse = private.d % (p - 1), private.d % (q - 1), pow(q, -1, p)
    text = random.randrange(2, p * q)
    key = CrtKey(p, q, dp, dq, inverse)
    result = crt(text, key)
    parts = [number.to_bytes(128, "big").hex() for number in (p, q, dp, dq, inverse)]
    line = " ".join(("crt", *parts, text.to_bytes(256, "big").hex(), result.to_bytes(256, "big").hex()))
    return line.encode() + b"\n", rate(lambda: crt(text, key))
