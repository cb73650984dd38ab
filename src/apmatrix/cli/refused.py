"""What a machine refuses of its file: the commands that start a machine do what can be done, and report the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from apmatrix.cli.sentences import say
from apmatrix.service.errors import ControlError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.rules.findings import Finding

strict_option: Final = click.option(
    "--strict", is_flag=True, help="Start nothing if the machine refuses a part of FILE."
)


def check_strictly(refusals: Iterable[Finding], *, strict: bool) -> None:
    """ControlError with what was refused, if nothing may be."""
    findings = tuple(refusals)
    if strict and findings:
        lines = (
            "nothing was started, since the machine refuses a part of the file:",
            *(f"  {each}" for each in findings),
        )
        raise ControlError("\n".join(lines), findings=findings)


def report(refusals: Iterable[Finding]) -> None:
    """Print what was refused."""
    for refusal in refusals:
        say(f"refused: {refusal}")


def exit_code(code: int, refusals: Iterable[Finding]) -> int:
    """A command's exit code on a machine: its own, or REFUSED for a success on an incomplete machine."""
    return ExitCode.REFUSED if code == ExitCode.FINE and any(True for _ in refusals) else code
