"""What the commands that talk to a running machine share. Imports little: scripts call them in loops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from apmatrix.service.protocol.names import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

machine_option = click.option(
    "--machine", metavar="NAME", help="The machine; by default this shell's, or the only one."
)
machine_or_file_option = click.option(
    "--machine", metavar="NAME", help="On a machine that apmatrix up started, instead of FILE."
)


def system_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which Linux system is meant."""
    for option in (
        click.option("--guest", metavar="NAME", help="This guest's Linux."),
        click.option("--lpar", metavar="NAME", help="This LPAR's Linux."),
    ):
        function = option(function)
    return function


def scope(lpar: str | None, guest: str | None) -> Scope | None:
    """The system that the options mean; None without them."""
    return Scope(lpar, guest) if lpar or guest else None
