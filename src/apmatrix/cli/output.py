"""What the commands share that print text: the FILE argument, the console, lines and lists.

Scripts call the commands that talk to a running machine in loops: slow imports are made where they are needed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from apmatrix.cli.folding import fold, printable, width_of
from apmatrix.service.errors import ControlError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apmatrix.cli.terminal import Terminal
    from apmatrix.config import MachineFile
    from apmatrix.service.protocol.guests import GuestFacts

file_argument = click.argument("file", type=click.Path())


def console() -> Terminal:
    """The console for tables and text: colours only on a terminal, whose width it has; elsewhere it is wider."""
    from apmatrix.cli.terminal import Terminal  # noqa: PLC0415 - slow

    return Terminal()


def read_file(path: str, *, strict: bool = False) -> MachineFile:
    """The file, with what is refused as findings; ConfigError if it cannot be understood.

    With ``strict``, what the machine will refuse is an error too.
    """
    from apmatrix.config import load  # noqa: PLC0415 - slow
    from apmatrix.service.client import is_machine  # noqa: PLC0415 - most commands need it only here

    if is_machine(path):
        hint = f"{path} is a running machine, not a file: say --machine {path}"
        raise ControlError(hint, ExitCode.UNREADABLE)
    return load(path, allow_refused=not strict)


def print_line(text: str) -> None:
    """Print a line, folded where it must fit into the width; for commands that scripts call in loops."""
    width, line = width_of(sys.stdout), printable(text)
    click.echo("\n".join(fold(line, width, 2) if width else [line]))


def print_guests(guests: Sequence[GuestFacts], lead: str = "") -> None:
    """Print a line for each guest: its name, its UUID and its state; the name alone on one where it is narrow."""
    longest = max((len(guest.name) for guest in guests), default=0)
    width = width_of(sys.stdout)
    for guest in guests:
        facts = f"{guest.uuid}  {'running' if guest.running else 'stopped'}"
        line = f"{lead}{guest.name:<{longest}}  {facts}"
        if width and len(lead) + longest + 2 + len(facts) > width:
            line = f"{lead}{guest.name}\n{' ' * len(lead)}  {facts}"
        click.echo(line)
