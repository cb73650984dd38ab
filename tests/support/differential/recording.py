"""The recording of a real kernel: for each case, what was seen."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Final

from support.differential.trial import DATA

if TYPE_CHECKING:
    from collections.abc import Mapping

RELEASE: Final = "7.2.13"
FILE: Final = DATA / f"linux-{RELEASE}.txt.gz"


def read_recording() -> dict[str, list[list[str]]]:
    """What was seen in each case, by its line: more than once where the real kernel is not the same each time."""
    found: dict[str, list[list[str]]] = {}
    seen: list[str] = []
    if FILE.exists():
        for line in gzip.decompress(FILE.read_bytes()).decode().splitlines():
            if line.startswith("# "):
                seen = []
                found.setdefault(line[2:], []).append(seen)
            else:
                seen.append(line)
    return found


def write_recording(recorded: Mapping[str, list[list[str]]]) -> None:
    """Replace the recording."""
    parts = ((case, lines) for case, times in recorded.items() for lines in times)
    text = "".join(f"# {case}\n" + "".join(f"{line}\n" for line in lines) for case, lines in parts)
    FILE.write_bytes(gzip.compress(text.encode(), mtime=0))
