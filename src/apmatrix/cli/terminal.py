"""Consoles for tables, text and progress; an import that takes time, so commands make it when they print."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from rich.console import Console

from apmatrix.cli.folding import width_of

PIPE_WIDTH = 120
"""Columns of tables that go to a file or another program."""


_SIZES = ("COLUMNS", "LINES")  # which rich reads, whatever is in them


class Terminal(Console):
    """A console that leaves a broken pipe to the program's end, which knows its exit code.

    ``narrow`` says whether lines must fit into its width: on a terminal, or where the user says so with COLUMNS.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        width = width_of(sys.stderr if stderr else sys.stdout)
        self.narrow = width is not None
        others = {name: value for name, value in os.environ.items() if name not in _SIZES}
        super().__init__(stderr=stderr, highlight=False, width=width or PIPE_WIDTH, _environ=others)

    def on_broken_pipe(self) -> NoReturn:
        """Raise the error again that rich has caught."""
        raise BrokenPipeError
