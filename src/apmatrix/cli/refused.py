"""What a machine refuses of its file: the commands that start a machine do what can be done, and report the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from apmatrix.cli.sentences import say
from apmatrix.service.errors import ControlError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable

strict_option: Final = click.option(
    "--strict", is_flag=True, help="Start nothing if the machine refuses a part of FILE."
)


def check_strictly(refusals: Iterable[object], *, strict: bool) -> None:
    """ControlError with what was refused, if nothing may be."""
    lines = [f"  {refusal}" for refusal in refusals]
    if strict and lines:
        raise ControlError("\n".join(("nothing was started, since the machine refuses a part of the file:", *lines)))


def report(refusals: Iterable[object]) -> None:
    """Print what was refused."""
    for refusal in refusals:
        say(f"refused: {refusal}")


def exit_code(code: int, refusals: Iterable[object]) -> int:
    """A command's exit code on a machine: its own, or REFUSED for a success on an incomplete machine."""
    return ExitCode.REFUSED if code == ExitCode.FINE and any(True for _ in refusals) else code
