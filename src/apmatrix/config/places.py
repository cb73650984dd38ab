"""The lines of the keys of a TOML text, which ``tomllib`` does not report."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

Path = tuple[str | int, ...]
"""Keys and list indices from the top of a file to a value."""

_BLANK = re.compile(r"(?:\s|#[^\n]*)*+")
_STRING = re.compile(
    r"""
    "{3}(?:[^\\]|\\.)*?"{3,5}  # closing quotes may follow up to two of the text's own
    | '{3}.*?'{3,5}
    | "(?:[^"\\]|\\.)*"
    | '[^']*'
    """,
    re.DOTALL | re.VERBOSE,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")


class Places:
    """Lines of all keys, tables and list elements of a text that ``tomllib`` has accepted.

    They are looked for when the first one is asked for: most files have nothing to say about.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._starts: list[int] = []
        self._lines: dict[Path, int] = {}
        self._tables: dict[Path, int] = {}  # arrays of tables, with the number of elements so far

    def line(self, path: Path) -> int | None:
        """The line of ``path``, or of the nearest thing around it that has one."""
        if not self._starts:
            self._starts = [0, *(match.end() for match in re.finditer("\n", self._text))]
            self._statements()
        for length in range(len(path), 0, -1):
            if path[:length] in self._lines:
                return self._lines[path[:length]]
        return None

    def _statements(self) -> None:
        table: Path = ()
        while self._skip():
            if self._peek() == "[":
                table = self._header()
            else:
                self._assignment(table)

    def _header(self) -> Path:
        line = self._line()
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        path = self._inside(self._key(), whole=brackets == 1)
        self._at += brackets
        if brackets == 2:
            self._lines.setdefault(path, line)
            self._tables[path] = self._tables.get(path, 0) + 1
            path += (self._tables[path] - 1,)
        self._lines.setdefault(path, line)
        return path

    def _inside(self, keys: tuple[str, ...], *, whole: bool) -> Path:
        """The path of a header: a key that names an array of tables means its last element."""
        path: Path = ()
        for position, key in enumerate(keys, 1):
            path += (key,)
            if path in self._tables and (whole or position < len(keys)):
                path += (self._tables[path] - 1,)
        return path

    def _assignment(self, table: Path) -> None:
        line = self._line()
        keys = self._key()
        for length in range(1, len(keys) + 1):
            self._lines.setdefault(table + keys[:length], line)
        self._at += 1  # the equals sign
        self._skip()
        self._value(table + keys)

    def _value(self, path: Path) -> None:
        self._lines.setdefault(path, self._line())
        first = self._peek()
        if first in "\"'":
            self._take(_STRING)
        elif first == "[":
            self._elements(path)
        elif first == "{":
            self._members(path)
        else:
            self._take(_BARE_VALUE)

    def _elements(self, path: Path) -> None:
        index = 0
        self._at += 1
        while self._skip() and self._peek() != "]":
            if self._peek() == ",":
                self._at += 1
            else:
                self._value((*path, index))
                index += 1
        self._at += 1

    def _members(self, path: Path) -> None:
        self._at += 1
        while self._skip() and self._peek() != "}":
            if self._peek() == ",":
                self._at += 1
            else:
                self._assignment(path)
        self._at += 1

    def _key(self) -> tuple[str, ...]:
        """Read a dotted key, and skip the blanks after it."""
        keys: list[str] = []
        while True:
            self._skip()
            quoted = self._peek() in "\"'"
            word = self._take(_STRING if quoted else _BARE_KEY)
            keys.append(str(tomllib.loads(f"k={word}")["k"]) if quoted else word)
            self._skip()
            if self._peek() != ".":
                return tuple(keys)
            self._at += 1

    def _skip(self) -> bool:
        """Skip blanks and comments; False at the end of the text."""
        self._take(_BLANK)
        return self._at < len(self._text)

    def _peek(self) -> str:
        return self._text[self._at]

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        word = found[0] if found else ""
        self._at += len(word)
        return word

    def _line(self) -> int:
        return bisect_right(self._starts, self._at)
