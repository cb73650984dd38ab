"""Programs that a test starts and listens to."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from subprocess import Popen


def output(process: Popen[str]) -> IO[str]:
    """What a program prints; it must have been started with a pipe for that."""
    assert process.stdout is not None
    return process.stdout


def core_limits(process: int | str) -> list[str]:
    """The soft and the hard limit of a process's core dumps, in bytes."""
    lines = Path(f"/proc/{process}/limits").read_text().splitlines()
    (line,) = (line for line in lines if "core file" in line)
    return line.split()[4:6]
