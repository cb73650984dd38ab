"""What all commands share: the FILE argument, ``--json``, tables, sentences for errors, exit codes.

Scripts call the commands that talk to a running machine in loops: slow imports are made where they are needed.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from apmatrix.arch import ApmatrixError
from apmatrix.service.errors import ControlError, ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from apmatrix.config import MachineFile

PIPE_WIDTH = 120
"""Columns of tables that go to a file or another program."""

file_argument = click.argument("file", type=click.Path())
json_option = click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")


def console() -> Console:
    """The console for tables and text: colours only on a terminal, whose width it has; elsewhere it is wider."""
    from rich.console import Console  # noqa: PLC0415 - slow

    out = Console(highlight=False)
    return out if out.is_terminal or "COLUMNS" in os.environ else Console(highlight=False, width=PIPE_WIDTH)


def printable(text: str) -> str:
    r"""Text that a guest or a program chose, for a terminal: control characters as ``\x1b``, as dmesg shows them."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def print_json(facts: Any) -> None:
    """Print plain data as JSON, for programs."""
    import msgspec  # noqa: PLC0415 - slow

    click.echo(msgspec.json.format(msgspec.json.encode(facts), indent=2).decode())


def read_file(path: str) -> MachineFile:
    """The file, with what is refused as findings; ConfigError if it cannot be understood."""
    from apmatrix.config import load  # noqa: PLC0415 - slow

    return load(path, allow_refused=True)


def exit_code(error: ApmatrixError) -> ExitCode:
    """The exit code that fits an error: UNREADABLE for input that cannot be understood, REFUSED for the others."""
    if isinstance(error, ControlError):
        return error.code
    from apmatrix.config import ConfigError, NotInFile, Severity  # noqa: PLC0415 - slow
    from apmatrix.rules.reference import UnknownRule  # noqa: PLC0415 - slow

    if isinstance(error, ConfigError) and any(found.severity is Severity.ERROR for found in error.findings):
        return ExitCode.UNREADABLE
    return ExitCode.UNREADABLE if isinstance(error, NotInFile | UnknownRule) else ExitCode.REFUSED


class SentenceGroup(click.Group):
    """A command group in which every intended error becomes a sentence on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an interruption and a broken pipe end it with the exit codes of their signals."""
        try:
            return super().invoke(ctx)
        except ApmatrixError as error:
            click.echo(f"apmatrix: {error}", err=True)
            sys.exit(exit_code(error))
        except KeyboardInterrupt:
            sys.exit(ExitCode.INTERRUPTED)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be written
            sys.exit(ExitCode.BROKEN_PIPE)
