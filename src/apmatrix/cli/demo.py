"""``apmatrix demo``: everything on the machine of a file, shown and checked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
from rich.text import Text

from apmatrix.cli.documents import json_option, print_document
from apmatrix.cli.drawing import draw
from apmatrix.cli.machine import brought_up
from apmatrix.cli.output import console, read_file
from apmatrix.cli.tables import print_text
from apmatrix.config import parse
from apmatrix.config.examples import DEFAULT, examples
from apmatrix.emulation import look
from apmatrix.emulation.demo import Report, tour
from apmatrix.hosts import lszcrypt
from apmatrix.service.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apmatrix.config import MachineFile


class Printed(Report):
    """Prints each line as the tour goes on."""

    def section(self, title: str) -> None:
        """Print a heading."""
        super().section(title)
        print_text(f"\n{title}\n", style="bold")

    def check(self, text: str, *, passed: bool) -> None:
        """Print the verdict, then what was checked."""
        super().check(text, passed=passed)
        print_text(text, lead=Text("ok      ", "green") if passed else Text("FAILED  ", "red"))

    def line(self, text: str) -> None:
        """Print a line."""
        print_text(text)

    def devices(self, rows: Sequence[lszcrypt.Row]) -> None:
        """Print cards and queues, with as many columns as there is room for."""
        out = console()
        for text in lszcrypt.table(rows, out.width if out.narrow else None):
            out.print(Text(text), soft_wrap=True)


def _example() -> MachineFile:
    """The machine of the example that the demonstration shows by default."""
    return parse(examples()[DEFAULT].text, f"{DEFAULT}.toml")


@click.command()
@click.argument("file", required=False, type=click.Path())
@json_option
@click.pass_context
def demo(ctx: click.Context, file: str | None, as_json: bool) -> None:
    """Bring up the machine of FILE in this process and show what it does; check everything that it shows.

    Without FILE it is the example three-guests, that of the kernel's document on vfio_ap.

    No root, no kernel module and no card is needed. You see the matrix, each guest's view, RSA requests through every
    queue with their results checked, an intruder's attempts, hot unplug and hot plug under load, and what is refused
    and why. The exit code is 1 if a check fails or if the machine refuses something in FILE.

    \b
      apmatrix demo
      apmatrix example nested > nested.toml
      apmatrix demo nested.toml
    """
    machine = _example() if file is None else read_file(file)
    started = time.monotonic()
    report = Report() if as_json else Printed()
    with brought_up(machine) as emulation:
        if not as_json:
            draw(look(emulation))
        tour(emulation, report)
        refused = emulation.complaints
    report.line(f"{time.monotonic() - started:.1f} seconds")
    if as_json:
        print_document({"checks": report.checks, "failed": len(report.failed), "refused": refused})
    ctx.exit(ExitCode.REFUSED if report.failed or refused else ExitCode.FINE)
