"""What all commands share: the FILE argument, ``--json``, tables, sentences for errors, exit codes.

Scripts call the commands that talk to a running machine in loops: slow imports are made where they are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from apmatrix.cli.terminal import Terminal
    from apmatrix.config import MachineFile

file_argument = click.argument("file", type=click.Path())
json_option = click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")


def console() -> Terminal:
    """The console for tables and text: colours only on a terminal, whose width it has; elsewhere it is wider."""
    from apmatrix.cli.terminal import Terminal  # noqa: PLC0415 - slow

    return Terminal()


def printable(text: str) -> str:
    r"""Text that a guest or a program chose, for a terminal: control characters as ``\x1b``, as dmesg shows them."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def print_json(facts: Any) -> None:
    """Print plain data as JSON, for programs."""
    import msgspec  # noqa: PLC0415 - slow

    click.echo(msgspec.json.format(msgspec.json.encode(facts), indent=2).decode())


def read_file(path: str, *, strict: bool = False) -> MachineFile:
    """The file, with what is refused as findings; ConfigError if it cannot be understood.

    With ``strict``, what the machine will refuse is an error too.
    """
    from apmatrix.config import load  # noqa: PLC0415 - slow

    return load(path, allow_refused=not strict)
