"""How wide output may be, and how text is folded between words to fit."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TextIO

_USUAL_WIDTH: Final = 80
_LONGEST_COLUMNS: Final = 5
_PIECES: Final = re.compile(r"[^,/]*[,/]+|[^,/]+")


def printable(text: str) -> str:
    r"""Text that a guest or a file chose, for a terminal: control characters as ``\x1b``, as dmesg shows them."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def width_of(stream: TextIO) -> int | None:
    """The columns that lines of a stream must fit into; None for a file or another program.

    ``$COLUMNS`` says how many, if it is a number from 1 to 99999; else the terminal does.
    """
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and len(said) <= _LONGEST_COLUMNS and int(said):
        return int(said)
    return terminal_width(stream)


def terminal_width(stream: TextIO) -> int | None:
    """The columns of the terminal that a stream goes to, 80 if it does not know them; None without a terminal."""
    if not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_WIDTH
    except OSError:
        return _USUAL_WIDTH


def fold(text: str, width: int, indent: int = 0) -> list[str]:
    """Lines of up to ``width`` columns; those after the first begin with ``indent`` spaces, and its own.

    Words stay whole. What is longer than a line is parted after commas and slashes, or is a line of its own.
    """
    lead = len(text) - len(text.lstrip(" "))
    later = " " * (lead + indent)
    lines, line = [], text[:lead]
    for word in text[lead:].split(" "):
        space = "" if line.isspace() or not line else " "
        if len(line) + len(space) + len(word) <= width:
            line += space + word
            continue
        if word.startswith("/") and line.strip():  # a path begins on a line of its own
            lines.append(line)
            line, space = later, ""
        pieces = _PIECES.findall(word) if len(later) + len(word) > width else [word]
        for piece in pieces:
            if line.strip() and len(line) + len(space) + len(piece) > width:
                lines.append(line)
                line, space = later, ""
            line, space = line + space + piece, ""
    return [*lines, line]
