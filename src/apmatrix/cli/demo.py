"""``apmatrix demo``: everything on the machine of a file, shown and checked."""

from __future__ import annotations

import time

import click
from rich.text import Text

from apmatrix.cli.drawing import draw
from apmatrix.cli.machine import brought_up
from apmatrix.cli.output import console, file_argument, json_option, print_json, read_file
from apmatrix.emulation import look
from apmatrix.emulation.demo import Report, tour
from apmatrix.service.errors import ExitCode


class Printed(Report):
    """Prints each line as the tour goes on."""

    def __init__(self) -> None:
        super().__init__()
        self._out = console()

    def section(self, title: str) -> None:
        """Print a heading."""
        super().section(title)
        self._out.print(Text(f"\n{title}\n", "bold"))

    def check(self, text: str, *, passed: bool) -> None:
        """Print the verdict, then what was checked."""
        super().check(text, passed=passed)
        verdict = Text("ok      ", "green") if passed else Text("FAILED  ", "red")
        self._out.print(verdict + Text(text), soft_wrap=True)

    def line(self, text: str) -> None:
        """Print a line as it is."""
        self._out.print(Text(text), soft_wrap=True)


@click.command()
@file_argument
@json_option
@click.pass_context
def demo(ctx: click.Context, file: str, as_json: bool) -> None:
    """Bring up the machine of FILE in this process and show what it does; check everything that it shows.

    No root, no kernel module and no card is needed. You see the matrix, each guest's view, RSA requests through every
    queue with their results checked, an intruder's attempts, hot unplug and hot plug under load, and what is refused
    and why. The exit code is 1 if a check fails or if the machine refuses something in FILE.

    \b
      apmatrix demo examples/three-guests.toml
      apmatrix demo examples/nested.toml
    """
    machine = read_file(file)
    started = time.monotonic()
    report = Report() if as_json else Printed()
    with brought_up(machine) as emulation:
        if not as_json:
            draw(console(), look(emulation))
        tour(emulation, report)
        refused = [str(refusal) for refusal in emulation.refusals]
    report.line(f"{time.monotonic() - started:.1f} seconds")
    if as_json:
        checks = [{"section": check.section, "text": check.text, "passed": check.passed} for check in report.checks]
        print_json({"checks": checks, "failed": len(report.failed), "refused": refused})
    ctx.exit(ExitCode.REFUSED if report.failed or refused else ExitCode.FINE)
