"""What ``lszcrypt -V`` shows in a system, from the same attributes."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from apmatrix.arch import CardFunctions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.emulation.administrator import Administrator

_LINE = "{:<8} {:<5} {:<11} {:<9} {:>9} {:>8} {:>6} {:>6} {:<10} {}"
_TITLES = ("CARD.DOM", "TYPE", "MODE", "STATUS", "REQUESTS", "PENDING", "HWTYPE", "QDEPTH", "FUNCTIONS", "DRIVER")

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

    def __str__(self) -> str:
        return _LINE.format(*astuple(self))


def title() -> str:
    """The line above the rows."""
    return _LINE.format(*_TITLES)


def rows(admin: Administrator) -> Iterator[Row]:
    """Cards and queues in order."""
    devices = admin.linux.sysfs.list("bus/ap/devices")
    for card in sorted(name for name in devices if name.startswith("card")):
        path = f"devices/ap/{card}"
        yield _row(admin, path, path, card.removeprefix("card"))
        queues = sorted(name for name in devices if name.startswith(f"{card.removeprefix('card')}."))
        for name in queues:
            yield _row(admin, f"{path}/{name}", path, name)


def _row(admin: Administrator, path: str, card: str, name: str) -> Row:
    entries = set(admin.linux.sysfs.list(path))
    kind = _read(admin, f"{card}/type")
    waiting = [_read(admin, f"{path}/{queue}") for queue in ("requestq_count", "pendingq_count")]
    functions = CardFunctions(int(_read(admin, f"{card}/ap_functions"), 16))
    return Row(
        name=name,
        type=kind,
        mode=_MODES.get(kind[-1:], "-"),
        status=_status(admin, path, entries),
        requests=_read(admin, f"{path}/request_count"),
        pending=str(sum(map(int, waiting))),
        hardware_type=_read(admin, f"{card}/hwtype"),
        depth=f"{int(_read(admin, f'{card}/depth')):02}",
        functions=functions.letters(),
        driver=_driver(admin, path, entries),
    )


def _status(admin: Administrator, path: str, entries: set[str]) -> str:
    if _read(admin, f"{path}/config") == "0":
        return "deconfig"
    if _read(admin, f"{path}/chkstop") == "1":
        return "chkstop"
    if "online" in entries:
        return "online" if _read(admin, f"{path}/online") == "1" else "offline"
    return _read(admin, f"{path}/status") if "status" in entries else "-"


def _driver(admin: Administrator, path: str, entries: set[str]) -> str:
    return admin.linux.sysfs.readlink(f"{path}/driver").rpartition("/")[2] if "driver" in entries else "-no-driver-"


def _read(admin: Administrator, path: str) -> str:
    try:
        return admin.read(path)
    except FileNotFoundError:
        return "-"
