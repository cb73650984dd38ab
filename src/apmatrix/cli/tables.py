"""Text and tables that fit into the width of the output: folded between words, with fewer columns where it is narrow.

Text that goes to a file or another program keeps its lines whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from rich.text import Text

from apmatrix.cli.folding import fold, printable
from apmatrix.cli.output import console

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from apmatrix.cli.terminal import Terminal

Cell: TypeAlias = str | Text
_LEAST: Final = 34
"""Columns that text needs beside others; with less room it goes below them."""

_INDENT: Final = 4


class Column(NamedTuple):
    """A column of a table; ``prose`` is folded, the others are not."""

    title: str = ""
    prose: bool = False


def print_text(text: str, *, lead: Cell = "", style: str = "", out: Terminal | None = None) -> None:
    """Print text, each of its lines folded; ``lead`` is before the first, the others begin below the text."""
    out = out or console()
    for line in map(printable, text.split("\n")):
        folded = fold(line, out.width - len(lead)) if out.narrow else [line]
        for number, part in enumerate(folded):
            before = lead if not number else " " * len(lead)
            out.print(Text.assemble(before, (part, style)), soft_wrap=True)


def print_table(
    columns: Sequence[Column], rows: Iterable[Sequence[Cell]], *, head: bool = True, gap: int = 3
) -> None:
    """Print a table; where it is narrow, prose goes below its row, and then every cell on a line of its own."""
    out = console()
    table = _Table(columns, [tuple(map(_text, row)) for row in rows], gap)
    if head:
        table.widths = [max(width, len(column.title)) for width, column in zip(table.widths, columns, strict=True)]
    for line in table.lines(out.width, head=head):
        out.print(line, soft_wrap=True)


def _text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)


class _Table:
    """A table whose columns have the width of their widest cell."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Sequence[Text]], gap: int) -> None:
        self._columns = columns
        self._rows = rows
        self._gap = gap
        self.widths = [max((len(row[place]) for row in rows), default=0) for place in range(len(columns))]

    def lines(self, width: int, *, head: bool) -> Iterator[Text]:
        """The lines of the form that fits into ``width`` columns."""
        prose = next((place for place, column in enumerate(self._columns) if column.prose), None)
        fixed = [place for place in range(len(self._columns)) if place != prose]
        if prose is not None and self._width(range(len(self._columns))) > width:
            room = width - self._width(fixed) - self._gap
            longest = max((len(word) for row in self._rows for word in row[prose].plain.split()), default=0)
            if room >= max(_LEAST, longest):
                self.widths[prose] = room
        if self._width(range(len(self._columns))) <= width:
            yield from self._grid(range(len(self._columns)), prose, width, head=head)
        elif prose is not None and self._width(fixed) <= width:
            yield from self._grid(fixed, prose, width, head=head)
        else:
            yield from self._list(width)

    def _width(self, places: Sequence[int]) -> int:
        return sum(self.widths[place] for place in places) + self._gap * (len(places) - 1)

    def _grid(self, places: Sequence[int], prose: int | None, width: int, *, head: bool) -> Iterator[Text]:
        """A line for each row, with the columns of ``places``; the prose beside or below the others."""
        if head:
            titles = [Text(column.title, "bold") for column in self._columns]
            yield self._line(titles, places)
            yield Text("─" * self._width(places))
        for row in self._rows:
            if prose is None or prose not in places:
                yield self._line(row, places)
                if prose is not None:
                    yield from (Text(line) for line in fold(" " * _INDENT + row[prose].plain, width))
                continue
            first, *more = fold(row[prose].plain, self.widths[prose])
            cells = [Text(first) if place == prose else cell for place, cell in enumerate(row)]
            yield self._line(cells, places)
            before = sum(self.widths[place] + self._gap for place in range(prose))
            yield from (Text(" " * before + line) for line in more)

    def _line(self, cells: Sequence[Text], places: Sequence[int]) -> Text:
        line = Text()
        for place in places:
            line.append_text(cells[place])
            line.append(" " * (self.widths[place] - len(cells[place]) + self._gap))
        line.rstrip()
        return line

    def _list(self, width: int) -> Iterator[Text]:
        """A line for each cell, after the title of its column."""
        for number, row in enumerate(self._rows):
            if number:
                yield Text()
            for column, cell in zip(self._columns, row, strict=True):
                lead = f"{column.title}: " if column.title else ""
                for part in fold(lead + cell.plain, width, indent=2):
                    yield Text(part, cell.style)
