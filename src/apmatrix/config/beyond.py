"""Numbers of adapters and domains that a machine does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.config.findings import dotted
from apmatrix.rules.findings import Severity

if TYPE_CHECKING:
    from apmatrix.arch import Mask
    from apmatrix.config.places import Path
    from apmatrix.config.reader import Reader


def possible(beyond: Mask, what: str, severity: Severity, path: Path, reader: Reader) -> None:
    """Record numbers that this machine cannot have; ``path`` is the key with them."""
    if beyond:
        text = f"{what} {beyond.ranges()} cannot exist in this machine"
        refuses, errno = ([dotted(path[:-1])], "ENODEV") if severity is Severity.REFUSED else ([], "")
        reader.note(severity, path, text, f"see [machine] max_{what} and features", refuses=refuses, errno=errno)


def copied(missing: Mask, what: str, present: Mask) -> str:
    """A hint if a number that is missing may be the hexadecimal digits of one that is present."""
    for number in missing:
        meant = int(str(number), 16)
        if number > 9 and meant in present:
            return f"did you mean 0x{number}, {what} {meant}, which is there?"
    return ""
