"""Draws the matrix of a machine in the terminal: rows are adapters, columns usage domains.

Both have their numbers in decimal, as files and mdevs take them, and in hexadecimal, as the kernel shows them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.text import Text

from apmatrix.arch import Apqn, Mask
from apmatrix.cli.output import console
from apmatrix.cli.tables import Column, print_table, print_text
from apmatrix.config import counted
from apmatrix.hosts.view import Holding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from apmatrix.hosts.view import LparView, MatrixView, QueueView


class _Look(NamedTuple):
    """How a kind of holding is drawn: with room for names, and without."""

    word: str
    symbol: str
    meaning: str
    style: str


_LOOKS: Final = {
    Holding.HOST: _Look("host", "H", "the drivers of the Linux in the LPAR", "blue"),
    Holding.ASSIGNED: _Look("( )", "( )", "assigned to a guest's mdev, but no running guest has it", "magenta"),
    Holding.FREE: _Look("free", ".", "vfio_ap has it", "dim"),
    Holding.UNBOUND: _Look("unbound", "-", "no driver has it", "red"),
    Holding.ABSENT: _Look("absent", "x", "the machine does not have it", "red"),
}
_GUEST_STYLE: Final = "green"
_FIRST_COLUMN: Final = 10
_GAP: Final = 3


def draw(view: MatrixView) -> None:
    """Draw a machine: its adapters, each LPAR, what was refused."""
    out = console()
    print_text(f"Machine {view.machine}: {_adapters(view) or 'no adapters'}")
    for lpar in view.lpars:
        print_text(f"\nLPAR {lpar.name}: {lpar.profile.describe()}")
        if lpar.active:
            _Drawing(lpar, out).draw()
        else:
            print_text("  not activated")
    for title, texts in (("In the file:", view.findings), ("Refused:", view.unforeseen)):
        if texts:
            print_text("\n".join((f"\n{title}", *(f"  {text}" for text in texts))))


def _adapters(view: MatrixView) -> str:
    """``adapters 5-6 CEX8C, 7 CEX8A (deconfigured)``."""
    kinds: dict[str, list[int]] = {}
    for adapter in view.adapters:
        state = "" if adapter.state == "online" else f" ({adapter.state})"
        kinds.setdefault(f"{adapter.type}{state}", []).append(adapter.number)
    listed = ", ".join(f"{Mask.of(*numbers).ranges()} {kind}" for kind, numbers in kinds.items())
    return f"adapters {listed}" if listed else ""


class _Drawing:
    """One LPAR; guests get numbers where their names do not fit."""

    def __init__(self, lpar: LparView, out: Console) -> None:
        self._lpar = lpar
        self._out = out
        self._queues = lpar.by_apqn()
        labels = dict.fromkeys(queue.label for queue in lpar.queues if queue.holder)
        self._numbers = {label: number for number, label in enumerate(labels, 1)}
        self._short = False
        self._short = self._width() * len(lpar.profile.aqm) + _FIRST_COLUMN > out.width

    def draw(self) -> None:
        """Draw as many columns at a time as there is room for; then what the cells mean."""
        domains = tuple(self._lpar.profile.aqm)
        room = max(1, (self._out.width - _FIRST_COLUMN) // self._width())
        for start in range(0, len(domains), room):
            if start:
                self._out.print()
            for row in self._rows(domains[start : start + room]):
                self._out.print(row, soft_wrap=True)
        if legend := list(self._legend()):
            self._out.print()
            print_table((Column(), Column(prose=True), Column()), legend, head=False, gap=2)

    def _width(self) -> int:
        """The width of a column."""
        titles = (len(str(domain)) for domain in self._lpar.profile.aqm)
        return max([self._digits(), *titles, *(len(self._cell(queue)) for queue in self._lpar.queues)]) + _GAP

    def _digits(self) -> int:
        """The digits of a hexadecimal domain number in a title."""
        return 2 if self._short else 4

    def _rows(self, domains: Sequence[int]) -> Iterator[Text]:
        """The heads of some columns, and the cells below them."""
        cells = {
            adapter: [self._cell(self._queues[Apqn(adapter, domain)]) for domain in domains]
            for adapter in self._lpar.profile.apm
        }
        decimal = [Text(str(domain)) for domain in domains]
        hexadecimal = [Text(f"{domain:0{self._digits()}x}") for domain in domains]
        columns = zip(decimal, hexadecimal, *cells.values(), strict=True)
        widths = [max(map(len, column)) for column in columns]
        yield _row("", [Text("domain")], [0])
        yield _row("", decimal, widths)
        yield _row("adapter", hexadecimal, widths)
        yield Text("─" * (_FIRST_COLUMN + sum(widths) + _GAP * (len(widths) - 1)))
        for adapter, row in cells.items():
            yield _row(f"{adapter:<5}{adapter:02x}", row, widths)

    def _cell(self, queue: QueueView) -> Text:
        if queue.holder:
            name = str(self._numbers[queue.label]) if self._short else queue.label
            assigned = queue.holding is Holding.ASSIGNED
            return Text(f"({name})" if assigned else name, _LOOKS[queue.holding].style if assigned else _GUEST_STYLE)
        look = _LOOKS[queue.holding]
        return Text(look.symbol if self._short else look.word, look.style)

    def _legend(self) -> Iterator[tuple[str, str, str]]:
        """Each sign, its meaning, and how many queues it is for."""
        if self._short:
            counts = self._lpar.count()
            for label, number in self._numbers.items():
                yield str(number), label, counted(counts[label], "queue")
        kinds = Counter((queue.holding, queue.refused) for queue in self._lpar.queues)
        for holding, look in _LOOKS.items():
            for (kind, refused), number in kinds.items():
                if kind is holding:
                    sign = look.symbol if self._short else look.word
                    yield sign, _meaning(holding, refused), counted(number, "queue")


def _row(first: str, cells: Sequence[Text], widths: Sequence[int]) -> Text:
    """A line of a matrix, without blanks at its end."""
    line = Text(first.ljust(_FIRST_COLUMN))
    for cell, width in zip(cells, widths, strict=True):
        line.append_text(cell)
        line.append(" " * (width - len(cell) + _GAP))
    line.rstrip()
    return line


def _meaning(holding: Holding, refused: tuple[str, ...]) -> str:
    """What a sign means; of free queues also who asked for them in vain."""
    meaning = _LOOKS[holding].meaning
    if holding is not Holding.FREE:
        return meaning
    return f"{meaning}; {' and '.join(refused)} asked, refused" if refused else f"{meaning}, no guest asked for it"
