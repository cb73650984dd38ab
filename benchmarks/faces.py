"""A mounted /sys of 4,096 queues beside a tmpfs with files of the same names; and commands on a machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from apmatrix.service.errors import ControlError
from benchmarks.report import Result

APMATRIX = str(Path(sys.executable).with_name("apmatrix"))
MACHINE = """
[machine]
name = "bench"
[[adapter]]
ids = "0-15"
type = "CEX8C"
[[lpar]]
name = "host"
adapters = "0-15"
usage_domains = "0-255"
"""
MIRROR = "cd /sys/bus/ap/devices; for q in ??.????; do mkdir -p $1/$q; echo 0 > $1/$q/request_count; done"
RUNS = 5


def results() -> list[Result]:
    """Everything this module measures; nothing where a command cannot have its own /sys, or gcc is missing."""
    if shutil.which("gcc") is None:
        print("faces: gcc is missing", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as directory:
        try:
            return _measure(Path(directory))
        except ControlError as error:
            print(f"faces: {error}", file=sys.stderr)
            return []


def _measure(directory: Path) -> list[Result]:
    file, program = directory / "bench.toml", directory / "sysfs"
    file.write_text(MACHINE)
    source = Path(__file__).with_name("sysfs.c")
    subprocess.run(["gcc", "-O2", "-w", "-o", program, source], check=True)
    script = f"set -- /dev/shm/mirror; {MIRROR}; {program} /sys/bus/ap/devices $1 request_count /dev/z90crypt"
    rates = _rates(file, script)
    alone = _rates(file, script, "taskset", "-c", str(min(os.sched_getaffinity(0))))
    what = {
        "write": ("open, write, close of an attribute", "≥ 0.125"),
        "read": ("open, read, close of an attribute", "≥ 0.125"),
        "list": ("listing of 4,096 queues", ""),
        "ioctl": ("ioctl of /dev/z90crypt", ""),
    }
    found = [
        Result(text, rates[name][0], "/s", "/dev/null" if name == "ioctl" else "tmpfs", rates[name][1], aim)
        for name, (text, aim) in what.items()
    ]
    for name in ("write", "read"):
        text, aim = what[name]
        found.append(Result(f"{text}, on one processor", alone[name][0], "/s", "tmpfs", alone[name][1], aim))
        found.append(Result(text, rates[name][0], "/s", "two answers of a process through pipes", rates["trips"][0]))
    python = min(_seconds([sys.executable, "-c", "pass"]) for _ in range(RUNS))
    guest = f"time -p {APMATRIX} guest list > /dev/null"
    asked = min(float(_run(file, f"{guest}").split()[1]) for _ in range(RUNS))
    return [*found, Result("apmatrix guest list", asked * 1000, "ms", "start of Python", python * 1000)]


def _rates(file: Path, script: str, *prefix: str) -> dict[str, list[float]]:
    lines = map(str.split, _run(file, script, *prefix).splitlines())
    return {words[0]: [float(word) for word in words[1:]] for words in lines}


def _run(file: Path, script: str, *prefix: str) -> str:
    command = [*prefix, APMATRIX, "run", str(file), "--", "bash", "-c", f"{{ {script}; }} 2>&1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ControlError(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start
