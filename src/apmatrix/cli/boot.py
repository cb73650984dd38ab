"""``apmatrix boot``: a real s390x Linux at a level of the emulated machine."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from apmatrix.cli.machine import brought_up
from apmatrix.cli.output import read_file
from apmatrix.cli.refused import check_strictly, exit_code, report, strict_option
from apmatrix.cli.remote import machine_or_file_option
from apmatrix.cli.terminal import Terminal
from apmatrix.faces.boot import BootedGuest, Hardware, Interactive, Software, Way, find_qemu
from apmatrix.service.client import connect, find_machine
from apmatrix.service.errors import ExitCode
from apmatrix.service.levels import take_level
from apmatrix.service.remote import RemoteLevel
from apmatrix.service.state import MACHINE_VARIABLE

if TYPE_CHECKING:
    from apmatrix.faces.boot import GuestLevel
    from apmatrix.rules.findings import Finding

POWER_OFF_TIMEOUT = 30.0


@click.command()
@click.argument("file", required=False, type=click.Path())
@machine_or_file_option
@click.option("--lpar", metavar="NAME", help="Run at this LPAR's level; by default at the first one's.")
@click.option("--guest", metavar="NAME", help="Run at this guest's level: its name or its mdev's UUID.")
@click.option("--kernel", metavar="DEB|FILE|SUITE", help="A Debian package, a kernel, or a suite such as trixie.")
@click.option("--initrd", type=click.Path(path_type=Path), help="An initramfs of your own.")
@click.option("--exec", "command", metavar="COMMAND", help="Run COMMAND in the guest; its exit code is ours.")
@click.option("--interactive", is_flag=True, help="Open a shell on the guest's console (default without --exec).")
@click.option(
    "--processors", type=click.IntRange(1, 32), default=1, show_default=True, help="Processors of the guest."
)
@click.option(
    "--storage",
    metavar="MIB",
    type=click.IntRange(256, 8192),
    default=512,
    show_default=True,
    help="Storage of the guest, in MiB.",
)
@click.option(
    "--interception",
    type=click.Choice([way.value for way in Way]),
    default=Way.MAILBOX.value,
    show_default=True,
    help="How AP instructions reach the machine; the mailbox is faster.",
)
@strict_option
@click.option("--verbose", "-v", is_flag=True, help="Show what the kernel says while it starts.")
@click.pass_context
def boot(
    ctx: click.Context,
    *,
    file: str | None,
    machine: str | None,
    lpar: str | None,
    guest: str | None,
    kernel: str | None,
    initrd: Path | None,
    command: str | None,
    interactive: bool,
    processors: int,
    storage: int,
    interception: str,
    strict: bool,
    verbose: bool,
) -> None:
    """Boot a real s390x Linux at a level of the machine in FILE.

    An unmodified Debian kernel runs in QEMU; the machine executes its AP instructions. Kernel and tools come from
    Debian and are kept in the user's cache directory. A kernel file that is not Linux runs as a stand-alone program
    until it ends. On a running machine, the kernel sees what administrators change on its host. If the machine
    refuses a part of FILE, a success gives exit code 1.

    \b
      apmatrix example three-guests > three-guests.toml
      apmatrix boot three-guests.toml --guest guest1
      apmatrix boot three-guests.toml --exec lszcrypt
      apmatrix boot three-guests.toml --kernel trixie
      apmatrix boot --machine cpc1 --guest guest2
    """
    if lpar and guest:
        raise click.UsageError("give --lpar or --guest, not both")
    machine = machine or (None if file else os.environ.get(MACHINE_VARIABLE))
    if (file is None) == (machine is None):
        raise click.UsageError("give either FILE or --machine NAME")
    if command is not None and (interactive or initrd):
        raise click.UsageError("--exec goes neither with --interactive nor with --initrd")
    software = Software(kernel, initrd, command, None if command is not None else _terminal())
    find_qemu()
    stand_alone = software.stand_alone()
    if stand_alone is not None and (command is not None or interactive):
        raise click.UsageError(f"{kernel} is not Linux: it has no shell for --exec or --interactive")
    with ExitStack() as stack:
        level, refusals = _level(stack, file, machine, lpar, guest, strict=strict)
        progress = _Progress(stack, verbose=verbose)
        image, first = software.prepare(progress.step)
        hardware = Hardware(image, first, level.facilities, storage, processors, stand_alone=stand_alone)
        text = _show if verbose else _forget
        running = BootedGuest(hardware, level, way=Way(interception), progress=progress.step, text=text)
        ctx.exit(exit_code(_use(stack.enter_context(running), progress, software), refusals))


def _level(
    stack: ExitStack, file: str | None, machine: str | None, lpar: str | None, guest: str | None, *, strict: bool
) -> tuple[GuestLevel, list[Finding]]:
    """Take the level until the stack unwinds; returns it with what a new machine refused."""
    if file is None:
        return stack.enter_context(RemoteLevel(connect(find_machine(machine)), lpar, guest)), []
    emulation = stack.enter_context(brought_up(read_file(file, strict=strict)))
    refusals = emulation.complaints
    check_strictly(refusals, strict=strict)
    report(refusals)
    return stack.enter_context(take_level(emulation, lpar, guest)), refusals


def _use(guest: BootedGuest, progress: _Progress, software: Software) -> int:
    """Wait for the guest and do with it what was asked for; returns the exit code."""
    if software.stand_alone() is not None:
        progress.stop()
        guest.listen(_write)
        return ExitCode.FINE
    if software.initrd is None:
        release = guest.wait_until_ready()
        progress.step(f"Linux {release} is up, {guest.service.executed} AP instructions so far")
    progress.stop()
    if software.command is None:
        guest.converse(sys.stdin.fileno(), sys.stdout.fileno())
        return ExitCode.FINE
    code = guest.run_command(_write)
    guest.wait_until_ended(POWER_OFF_TIMEOUT)
    return code


class _Progress:
    """Shows progress on stderr: in place on a terminal, line by line elsewhere."""

    def __init__(self, stack: ExitStack, *, verbose: bool) -> None:
        self._console = Terminal(stderr=True)
        in_place = self._console.is_terminal and not verbose
        self._status = stack.enter_context(self._console.status("starting")) if in_place else None

    def step(self, what: str) -> None:
        """Show the next step."""
        if self._status is not None:
            self._status.update(what)
        else:
            self._console.print(f"apmatrix: {what}", markup=False, soft_wrap=True)

    def stop(self) -> None:
        """Leave the terminal to the guest from now on."""
        if self._status is not None:
            self._status.stop()


def _terminal() -> Interactive:
    size = shutil.get_terminal_size()
    return Interactive(os.environ.get("TERM", "vt100"), size.lines, size.columns)


def _write(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


def _show(text: bytes) -> None:
    sys.stderr.buffer.write(text)
    sys.stderr.buffer.flush()


def _forget(_: bytes) -> None:
    pass
