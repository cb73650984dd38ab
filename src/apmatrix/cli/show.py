"""``apmatrix show``: the matrix of each LPAR, and who holds what."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click

from apmatrix.cli.documents import json_option, print_document
from apmatrix.cli.drawing import draw
from apmatrix.cli.machine import brought_up
from apmatrix.cli.output import read_file
from apmatrix.cli.remote import machine_option
from apmatrix.emulation import look
from apmatrix.service.client import ask, is_machine
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.protocol.matrix import GetMatrix

if TYPE_CHECKING:
    from apmatrix.hosts import MatrixView


@click.command()
@click.argument("file", required=False, type=click.Path())
@machine_option
@json_option
@click.pass_context
def show(ctx: click.Context, file: str | None, machine: str | None, as_json: bool) -> None:
    """Draw the matrix of each LPAR in FILE, or of a running machine: who holds which queue.

    The machine of FILE is brought up in this process; nothing on the computer changes. What it or a kernel refuses
    is listed, and the exit code is 1. The name of a running machine will do for FILE, unless there is such a file.

    \b
      apmatrix example three-guests > three-guests.toml
      apmatrix show three-guests.toml
      apmatrix show --json three-guests.toml
      apmatrix show --machine cpc1
    """
    if file is not None and machine is not None:
        raise click.UsageError("give FILE or --machine, not both")
    if file is not None and is_machine(file):
        file, machine = None, file
    elif file is not None and not os.path.lexists(file) and re.fullmatch(r"[\w-]+", file):
        sentence = f"there is no file {file}, and no machine of that name is running: apmatrix status lists machines"
        raise ControlError(sentence, ExitCode.UNREADABLE)
    view = ask(machine, GetMatrix()) if file is None else _view(file)
    if as_json:
        print_document(view)
    else:
        draw(view)
    ctx.exit(ExitCode.REFUSED if view.refusals else ExitCode.FINE)


def _view(file: str) -> MatrixView:
    with brought_up(read_file(file).without_keys()) as emulation:
        return look(emulation)
