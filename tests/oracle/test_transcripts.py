"""What a real Linux 7.2.13 kernel answered must be answered here, line by line.

The scenarios of a transcript are one boot: each test goes on where the one before it ended. Those below ``bus`` come
from Debian's kernel, which has no vfio_ap, with the machine's own cards (``apmatrix boot``): they show uevents and
kernel log, and what scans make of changes of the machine. Those below ``vfio_ap`` show the same of a kernel with
vfio_ap, but no VMs (record_vfio_ap.py).
"""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import pytest

from apmatrix.cards import ManualClock
from apmatrix.linux import LinuxSystem
from support.busops import BusOps
from support.recorded import recorded_machine, recorded_system
from support.sysops import SysOps, is_answer

DATA = Path(__file__).parents[1] / "data" / "oracle"
CONTEXT = 12  # operations shown before the first difference


def scenarios(path: Path) -> dict[str, list[str]]:
    """The lines of each scenario of a transcript, by its name."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in gzip.decompress(path.read_bytes()).decode("latin-1").splitlines():
        if line.startswith("# scenario "):
            name = line.rpartition(" ")[2]
        found.setdefault(name, []).append(line)
    return found


TRANSCRIPTS = {path: scenarios(path) for path in sorted(DATA.glob("**/*.txt.gz"))}
CASES = [(path, name) for path, named in TRANSCRIPTS.items() for name in named]


def bus_operations(*, vfio_ap: bool) -> BusOps:
    """Some time after boot."""
    clock = ManualClock()
    machine, level = recorded_machine(clock)
    system = LinuxSystem(machine, level, name=level.name, vfio_ap=vfio_ap)
    clock.advance(1)
    return BusOps(system, clock)


class Boot:
    """One system and the scenarios it has gone through."""

    def __init__(self, path: Path) -> None:
        watched = path.parent != DATA
        vfio_ap = path.parent.name == "vfio_ap"
        self.operations = bus_operations(vfio_ap=vfio_ap) if watched else SysOps(recorded_system())
        self.scenarios = TRANSCRIPTS[path]
        self.answers: dict[str, list[str]] = {}

    def answer(self, name: str) -> list[str]:
        """The output of scenario ``name``, after all those before it."""
        for each, lines in self.scenarios.items():
            if each not in self.answers:
                script = (line for line in lines if not is_answer(line))
                self.answers[each] = [out for line in script for out in self.operations.run(line)]
            if each == name:
                break
        return self.answers[name]


@pytest.fixture(scope="module")
def boots() -> dict[Path, Boot]:
    return {}


def difference(expected: list[str], got: list[str]) -> str:
    """The first difference, with the operations that led to it; empty if there is none."""
    pairs = itertools.zip_longest(expected, got, fillvalue="(nothing)")
    for number, (want, have) in enumerate(pairs):
        if want != have:
            before = [line for line in expected[:number] if not line.startswith(" ")][-2 * CONTEXT :]
            return "\n".join(
                [f"line {number + 1} of the scenario:", *before, f"expected: {want}", f"got:      {have}"]
            )
    return ""


@pytest.mark.parametrize(("path", "name"), CASES, ids=[f"{path.parent.name}-{name}" for path, name in CASES])
def test_scenario(boots, path, name):
    if path not in boots:
        boots[path] = Boot(path)
    found = difference(TRANSCRIPTS[path][name], boots[path].answer(name))
    if found:
        pytest.fail(found, pytrace=False)
