"""Folding of text between words."""

from __future__ import annotations

import re
from typing import Final

_PIECES: Final = re.compile(r"[^,/]*[,/]+|[^,/]+")


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
