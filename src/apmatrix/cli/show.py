"""``apmatrix show``: the matrix of each LPAR, and who holds what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich import box
from rich.table import Table
from rich.text import Text

from apmatrix.arch import Apqn
from apmatrix.cli.output import FINE, REFUSED, console, file_argument, json_option, print_json, read_file
from apmatrix.config import counted
from apmatrix.emulation import Emulation, Holding, look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from apmatrix.emulation import LparView, MatrixView

MEANINGS = {
    Holding.HOST: ("host", "the drivers of the Linux in the LPAR", "blue"),
    Holding.ASSIGNED: ("assigned", "a guest's mdev, but no running guest has it", "magenta"),
    Holding.FREE: ("free", "vfio_ap has it, no guest asked for it", "dim"),
    Holding.UNBOUND: ("unbound", "no driver has it", "red"),
    Holding.ABSENT: ("absent", "the machine does not have it", "red"),
}
SYMBOLS = {Holding.HOST: "H", Holding.FREE: ".", Holding.UNBOUND: "-", Holding.ABSENT: "x"}
"""For matrices that are too wide for names; guests get numbers."""


@click.command()
@file_argument
@json_option
@click.pass_context
def show(ctx: click.Context, file: str, as_json: bool) -> None:
    """Draw the matrix of each LPAR in FILE: who holds which queue.

    The machine is brought up in this process; nothing of the computer is changed. What the machine or a kernel
    refuses is listed, and the exit code is 1.

    \b
      apmatrix show examples/three-guests.toml
      apmatrix show --json examples/nested.toml
    """
    with Emulation.start(read_file(file)) as emulation:
        view = look(emulation)
    if as_json:
        print_json(view.as_json())
    else:
        print_matrix(view)
    ctx.exit(REFUSED if view.refusals else FINE)


def print_matrix(view: MatrixView) -> None:
    """Draw a machine for people."""
    out = console()
    cards = ", ".join(
        f"{adapter.number} {adapter.type}" + ("" if adapter.state == "online" else f" ({adapter.state})")
        for adapter in view.adapters
    )
    out.print(Text(f"Machine {view.machine}: adapters {cards or 'none'}"))
    for lpar in view.lpars:
        _print_lpar(out, lpar)
    for title, texts in (("Refused:", view.refusals), ("Warnings:", view.warnings)):
        if texts:
            out.print(Text(f"\n{title}"))
            for text in texts:
                out.print(Text(f"  {text}"))


def _print_lpar(out: Console, lpar: LparView) -> None:
    out.print(Text(f"\nLPAR {lpar.name}: {lpar.profile.describe()}"))
    if not lpar.active:
        out.print(Text("  not activated"))
        return
    domains = tuple(lpar.profile.aqm)
    labels = {label: number for number, label in enumerate(_guest_labels(lpar), 1)}
    width = max((len(queue.label) for queue in lpar.queues.values()), default=4) + 3
    codes = 12 + width * len(domains) > out.width
    if codes:
        width = max(7, len(str(len(labels))) + 3)
    room = max(1, (out.width - 12) // width)
    for start in range(0, len(domains), room):
        out.print(_table(lpar, domains[start : start + room], labels if codes else None))
    _print_legend(out, lpar, labels if codes else None)


def _guest_labels(lpar: LparView) -> list[str]:
    """The labels of queues that have to do with guests, in the order of the matrix."""
    return list(dict.fromkeys(queue.label for queue in lpar.queues.values() if queue.holder))


def _table(lpar: LparView, domains: Sequence[int], codes: dict[str, int] | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("adapter")
    for domain in domains:
        table.add_column(f"{domain:04x}")
    for adapter in lpar.profile.apm:
        cells = [_cell(lpar, Apqn(adapter, domain), codes) for domain in domains]
        table.add_row(f"{adapter:02x}", *cells)
    return table


def _cell(lpar: LparView, apqn: Apqn, codes: dict[str, int] | None) -> Text:
    queue = lpar.queues[apqn]
    style = "green" if queue.holding is Holding.GUEST else MEANINGS[queue.holding][2]
    if codes is None:
        text = f"({queue.label})" if queue.holding is Holding.ASSIGNED else queue.label
    else:
        text = str(codes[queue.label]) if queue.holder else SYMBOLS[queue.holding]
        text = f"({text})" if queue.holding is Holding.ASSIGNED else text
    return Text(text, style)


def _print_legend(out: Console, lpar: LparView, codes: dict[str, int] | None) -> None:
    """What the cells mean, and how many queues each holder has."""
    counts = lpar.count()
    table = Table(box=None, show_header=False, pad_edge=False)
    if codes is not None:
        for label, number in codes.items():
            table.add_row(str(number), label, counted(counts[label], "queue"))
    for holding, (name, meaning, _) in MEANINGS.items():
        number = sum(queue.holding is holding for queue in lpar.queues.values())
        if number:
            table.add_row(
                "( )" if holding is Holding.ASSIGNED else SYMBOLS[holding] if codes else name,
                meaning,
                counted(number, "queue"),
            )
    if table.row_count:
        out.print()
        out.print(table)
