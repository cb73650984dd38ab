"""The recordings of a real Linux 7.2.13 kernel, and the snapshots of the system in them."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from apmatrix.arch import Apqn, Mask, Matrix
from apmatrix.rules.ownership import Masks
from support.sysops import unescape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RECORDINGS = sorted((Path(__file__).parents[1] / "data" / "oracle").glob("*.txt.gz"))


def recorded_lines(path: Path) -> list[str]:
    """What was done (``W FILE CONTENT``, ``S`` for a snapshot), each followed by the answer."""
    return gzip.decompress(path.read_bytes()).decode("latin-1").splitlines()


def snapshots(path: Path) -> Iterator[Snapshot]:
    """Each snapshot of a recording: for tests of rules, as CONTRIBUTING.md shows."""
    lines = recorded_lines(path)
    return (Snapshot.read(lines, number + 1)[0] for number, line in enumerate(lines) if line == "S")


@dataclass
class Snapshot:
    """Masks, drivers and ``status`` of queues, matrices of mdevs, and what their ``guest_matrix`` shows."""

    masks: Masks
    drivers: dict[Apqn, str | None] = field(default_factory=dict)
    status: dict[Apqn, str] = field(default_factory=dict)
    assigned: dict[str, Matrix] = field(default_factory=dict)
    guest: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, lines: Sequence[str], start: int) -> tuple[Snapshot, int]:
        """The snapshot whose lines begin at ``start``, and where they end."""
        end = next((n for n in range(start, len(lines)) if not lines[n].startswith("  ")), len(lines))
        return cls.parse(lines[start:end]), end

    @classmethod
    def parse(cls, lines: Sequence[str]) -> Snapshot:
        shown = [line.strip() for line in lines]
        files = {name: unescape(value[1:-1]).decode() for name, _, value in (line.partition(" ") for line in shown)}
        state = cls(Masks(Mask.parse_hex(files["apmask"].strip()), Mask.parse_hex(files["aqmask"].strip())))
        uuid = ""
        for line in shown:
            name, _, value = line.partition(" ")
            if re.fullmatch(r"[0-9a-f]{2}\.[0-9a-f]{4}", name):
                driver, _, status = value.partition(" ")
                state.drivers[Apqn.parse(name)] = None if driver == "-" else driver
                if status.startswith('"'):
                    state.status[Apqn.parse(name)] = unescape(status[1:-1]).decode()
            elif re.fullmatch(r"[0-9a-f-]{36}", name):
                uuid = name
            elif name == "ap_config" and value.startswith('"'):
                masks = unescape(value[1:-1]).decode().strip().split(",")
                state.assigned[uuid] = Matrix(*map(Mask.parse_hex, masks))
            elif name == "guest_matrix" and value.startswith('"'):
                state.guest[uuid] = unescape(value[1:-1]).decode()
        return state
