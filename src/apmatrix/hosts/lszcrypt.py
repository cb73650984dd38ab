"""What ``lszcrypt -V`` shows in a system, from the same attributes."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from apmatrix.arch import CardFunctions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from apmatrix.hosts.shell import Shell

_COLUMNS = {
    "CARD.DOM": "{:<8}",
    "TYPE": "{:<5}",
    "MODE": "{:<11}",
    "STATUS": "{:<9}",
    "REQUESTS": "{:>9}",
    "PENDING": "{:>8}",
    "HWTYPE": "{:>6}",
    "QDEPTH": "{:>6}",
    "FUNCTIONS": "{:<10}",
    "DRIVER": "{}",
}
_DISPENSABLE = ("QDEPTH", "HWTYPE", "PENDING", "FUNCTIONS", "REQUESTS", "MODE")
"""The columns that are left out where there is not enough room, in this order."""

_MODES = {"A": "Accelerator", "C": "CCA-Coproc", "P": "EP11-Coproc"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a card or a queue. The fields are the columns."""

    name: str
    type: str
    mode: str
    status: str
    requests: str
    pending: str
    hardware_type: str
    depth: str
    functions: str
    driver: str


def table(rows: Sequence[Row], width: int | None = None) -> list[str]:
    """The lines of the table, titles first; with fewer columns where ``width`` is not enough for all."""
    lines = [tuple(_COLUMNS), *map(astuple, rows)]
    dispensable = list(_DISPENSABLE)
    chosen = list(_COLUMNS)
    while True:
        places = [place for place, title in enumerate(_COLUMNS) if title in chosen]
        form = " ".join(_COLUMNS[title] for title in chosen)
        shown = [form.format(*(line[place] for place in places)).rstrip() for line in lines]
        if not dispensable or width is None or max(map(len, shown)) <= width:
            return shown
        chosen.remove(dispensable.pop(0))


def rows(shell: Shell) -> Iterator[Row]:
    """Cards and queues in order."""
    devices = shell.list("bus/ap/devices")
    for card in sorted(name for name in devices if name.startswith("card")):
        path = f"devices/ap/{card}"
        yield _row(shell, path, path, card.removeprefix("card"))
        queues = sorted(name for name in devices if name.startswith(f"{card.removeprefix('card')}."))
        for name in queues:
            yield _row(shell, f"{path}/{name}", path, name)


def _row(shell: Shell, path: str, card: str, name: str) -> Row:
    entries = set(shell.list(path))
    kind = _read(shell, f"{card}/type")
    waiting = [_read(shell, f"{path}/{queue}") for queue in ("requestq_count", "pendingq_count")]
    functions = CardFunctions(int(_read(shell, f"{card}/ap_functions"), 16))
    return Row(
        name=name,
        type=kind,
        mode=_MODES.get(kind[-1:], "-"),
        status=_status(shell, path, entries),
        requests=_read(shell, f"{path}/request_count"),
        pending=str(sum(map(int, waiting))),
        hardware_type=_read(shell, f"{card}/hwtype"),
        depth=f"{int(_read(shell, f'{card}/depth')):02}",
        functions=functions.letters(),
        driver=_driver(shell, path, entries),
    )


def _status(shell: Shell, path: str, entries: set[str]) -> str:
    if _read(shell, f"{path}/config") == "0":
        return "deconfig"
    if _read(shell, f"{path}/chkstop") == "1":
        return "chkstop"
    if "online" in entries:
        return "online" if _read(shell, f"{path}/online") == "1" else "offline"
    return _read(shell, f"{path}/status") if "status" in entries else "-"


def _driver(shell: Shell, path: str, entries: set[str]) -> str:
    return shell.tree.readlink(f"/sys/{path}/driver").rpartition("/")[2] if "driver" in entries else "-no-driver-"


def _read(shell: Shell, path: str) -> str:
    try:
        return shell.read(path)
    except FileNotFoundError:
        return "-"
