"""The standard streams as every command needs them: there, with errors that name them, in any encoding."""

from __future__ import annotations

import codecs
import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_PLAINLY: Final = "apmatrix.plainly"
_ASCII: Final = ["-", "-", "-", "-", "->", "<->", "<=>", "v", ">", "`", "...", "<=", ">=", "!=", "x", "*", "||", "ok"]
_PLAIN: Final = dict(zip("─–—−→↔⇔↓▶└…≤≥≠×·‖✓", _ASCII, strict=True))
"""What the output has beyond ASCII, in ASCII."""


def prepare_standard_streams() -> None:
    """Let no file that is opened later be taken for a standard stream that was closed, and name stdout in errors.

    Reading a closed one finds the end, writing fails. What their encoding does not have, such as the lines of tables
    in a locale without UTF-8, is written with characters that it has.
    """
    codecs.register_error(_PLAINLY, _plainly)
    for number, name, mode in ((0, "stdin", "r"), (2, "stderr", "w"), (1, "stdout", "w")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
            if null != number:
                os.dup2(null, number, inheritable=False)
                os.close(null)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors=_PLAINLY)
    with suppress(OSError):  # of a stream without a descriptor
        if sys.stdout.fileno() == 1:
            out, raw = sys.stdout, _StandardOutput(1, "w", closefd=False)
            buffer = io.BufferedWriter(raw)
            sys.stdout = io.TextIOWrapper(buffer, encoding=out.encoding, errors=_PLAINLY, line_buffering=out.isatty())


class _StandardOutput(io.FileIO):
    """Standard output, whose errors say that they are its own."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write to it."""
        try:
            return super().write(data)
        except OSError as error:
            error.filename = "standard output"
            raise


def _plainly(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: characters of :data:`_PLAIN` as it says, others escaped as in Python."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    plain = "".join(_PLAIN.get(each) or each.encode("ascii", "backslashreplace").decode() for each in wrong)
    return plain, error.end
