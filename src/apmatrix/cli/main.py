"""``apmatrix``: the command group."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import click

from apmatrix.cli.sentences import SentenceGroup

if TYPE_CHECKING:
    from collections.abc import Iterable

COMMANDS = {
    "adapter": "apmatrix.cli.hardware",
    "boot": "apmatrix.cli.boot",
    "demo": "apmatrix.cli.demo",
    "down": "apmatrix.cli.service",
    "events": "apmatrix.cli.events",
    "example": "apmatrix.cli.example",
    "explain": "apmatrix.cli.explain",
    "fault": "apmatrix.cli.testbed",
    "guest": "apmatrix.cli.guest",
    "key": "apmatrix.cli.key",
    "log": "apmatrix.cli.service",
    "lpar": "apmatrix.cli.hardware",
    "record": "apmatrix.cli.testbed",
    "replay": "apmatrix.cli.testbed",
    "rule": "apmatrix.cli.rule",
    "run": "apmatrix.cli.run",
    "shell": "apmatrix.cli.run",
    "show": "apmatrix.cli.show",
    "status": "apmatrix.cli.service",
    "up": "apmatrix.cli.service",
}
"""Where each command is; a module is imported when its command is used."""


class Commands(SentenceGroup):
    """The commands of :data:`COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> Iterable[str]:  # type: ignore[override]
        """The names of all commands."""
        del ctx
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="apmatrix", message="%(prog)s %(version)s")
def main() -> None:
    """AP virtualization for IBM Z as software: emulate it, administer it.

    FILE describes a machine with its adapters, LPARs, hosts and guests. To begin with one:

    \b
      apmatrix demo
      apmatrix example three-guests > three-guests.toml
      apmatrix show three-guests.toml
      apmatrix explain three-guests.toml guest2 05.0004
      apmatrix shell three-guests.toml

    Exit codes: 0 fine, 1 something was refused or found, 2 usage or unreadable input, 3 what is needed is not
    running, or is in use, 4 a change was left incomplete.
    """


if __name__ == "__main__":
    main(prog_name="apmatrix")
