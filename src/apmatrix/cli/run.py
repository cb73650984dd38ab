"""``apmatrix run`` and ``apmatrix shell``: a command on an emulated machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from apmatrix.cli.output import read_file
from apmatrix.cli.refused import check_strictly, exit_code, report, strict_option
from apmatrix.cli.remote import machine_or_file_option, scope
from apmatrix.service.client import connect, find_machine
from apmatrix.service.command import Command
from apmatrix.service.run import run_on_new, run_on_running
from apmatrix.service.state import state_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.emulation import Emulation
    from apmatrix.rules.findings import Finding
    from apmatrix.service.protocol.names import Scope

    Function = Callable[..., None]


def sandbox_options(function: Function) -> Function:
    """Add the options of run and shell that say where the command runs."""
    for option in (
        click.option("--udev", is_flag=True, help="Start a udevd of its own first, as at boot."),
        strict_option,
        machine_or_file_option,
        click.option("--guest", metavar="NAME", help="In this guest's Linux."),
        click.option("--lpar", metavar="NAME", help="In this LPAR's Linux; by default the first one's."),
    ):
        function = option(function)
    return function


@click.command(context_settings={"ignore_unknown_options": True})
@sandbox_options
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="FILE -- COMMAND...")
def run(
    words: tuple[str, ...], lpar: str | None, guest: str | None, machine: str | None, udev: bool, strict: bool
) -> None:
    """Run COMMAND on the machine that FILE describes, and exit with its exit code.

    COMMAND sees the emulated Linux system as its own /sys and /dev. It has namespaces of its own: its changes to
    /etc, /usr, /var, /run and /dev end with it, and so does the machine. Your own files are the real ones.

    If the machine refuses a part of FILE, COMMAND runs all the same, and its success gives exit code 1.

    \b
      apmatrix example three-guests > three-guests.toml
      apmatrix run three-guests.toml -- lszcrypt -V
      apmatrix run three-guests.toml --guest guest1 -- ls /sys
      apmatrix run --machine cpc1 -- cat /sys/bus/ap/apmask
    """
    file = None if machine else words[0]
    arguments = words if machine else words[1:]
    if arguments[:1] == ("--",):
        arguments = arguments[1:]
    if not arguments:
        raise click.UsageError("no COMMAND given; to look around: apmatrix shell FILE")
    _run(file, machine, arguments, scope(lpar, guest), udev=udev, strict=strict)


@click.command()
@sandbox_options
@click.argument("file", required=False, type=click.Path())
def shell(
    file: str | None, lpar: str | None, guest: str | None, machine: str | None, udev: bool, strict: bool
) -> None:
    """Open a shell on the machine that FILE describes.

    The same as apmatrix run with your shell as the command. On a terminal, its prompt names machine and system.

    \b
      apmatrix example three-guests > three-guests.toml
      apmatrix shell three-guests.toml
      apmatrix shell --machine cpc1 --guest guest1
    """
    if (file is None) == (machine is None):
        raise click.UsageError("give either FILE or --machine NAME")
    _run(file, machine, _shell(), scope(lpar, guest), udev=udev, strict=strict, interactive=sys.stdin.isatty())


def _shell() -> tuple[str, ...]:
    """The user's shell; bash with a file that gives it a prompt."""
    shell = os.environ.get("SHELL") or "/bin/sh"
    return (shell, "--rcfile", str(Path(__file__).with_name("bashrc"))) if Path(shell).name == "bash" else (shell,)


def _run(
    file: str | None,
    machine: str | None,
    arguments: tuple[str, ...],
    system: Scope | None,
    *,
    udev: bool,
    strict: bool,
    interactive: bool = False,
) -> None:
    # Machines in the background can be reached from inside, too.
    keep = (str(state_directory().absolute()),) if os.geteuid() == 0 else ()
    if file is None:
        path = find_machine(machine)
        run_on_running(connect(path), Command(arguments, path.parent.name, system, udev, keep, interactive))
    description = read_file(file, strict=strict)
    name = description.machine.name or Path(file).stem
    refusals: list[Finding] = []

    def look(emulation: Emulation) -> None:
        check_strictly(emulation.complaints, strict=strict)
        refusals.extend(emulation.complaints)
        report(refusals)

    code = run_on_new(description, Command(arguments, name, system, udev, keep, interactive), look)
    raise SystemExit(exit_code(code, refusals))
