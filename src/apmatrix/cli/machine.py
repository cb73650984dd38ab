"""Bringing up the machine of a file inside a command's own process."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from apmatrix.cli.terminal import Terminal
from apmatrix.emulation import Emulation
from apmatrix.service.dumps import forbid_core_dumps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.config import MachineFile


@contextmanager
def brought_up(file: MachineFile) -> Iterator[Emulation]:
    """The running machine; on a terminal something moves while it comes up: a large one takes seconds."""
    forbid_core_dumps()
    progress = Terminal(stderr=True)
    with progress.status(f"bringing up {file.machine.name}") if progress.is_terminal else nullcontext():
        emulation = Emulation.start(file)
    with emulation:
        yield emulation
