"""What the commands that talk to a running machine share. Imports little: scripts call them in loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from apmatrix.arch import Mask
from apmatrix.service.client import connect, find_machine

if TYPE_CHECKING:
    from collections.abc import Callable

machine_option = click.option(
    "--machine", metavar="NAME", help="The machine; by default this shell's, or the only one."
)


def numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Adapter or domain numbers; a usage error if they are none."""
    try:
        if value is not None and not Mask.parse_ids(value):
            raise ValueError("it names no number")
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    return value


def system_options(function: Callable[..., None]) -> Callable[..., None]:
    """Which Linux system is meant."""
    for option in (
        click.option("--guest", metavar="NAME", help="This guest's Linux."),
        click.option("--lpar", metavar="NAME", help="This LPAR's Linux."),
    ):
        function = option(function)
    return function


def system_name(lpar: str | None, guest: str | None) -> str | None:
    """The name that the options give a system; None where they say nothing."""
    return f"{lpar}/{guest}" if lpar and guest else lpar or guest


def ask(machine: str | None, operation: str, **fields: Any) -> Any:
    """Ask a running machine; ControlError if it cannot be reached or refuses."""
    lines = connect(find_machine(machine))
    try:
        return lines.request({"op": operation, **fields})
    finally:
        lines.connection.close()
