"""Programs that a test starts and listens to."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from subprocess import Popen


def output(process: Popen[str]) -> IO[str]:
    """What a program prints; it must have been started with a pipe for that."""
    assert process.stdout is not None
    return process.stdout
