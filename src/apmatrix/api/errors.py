"""What the Python API itself refuses; what a kernel of the machine refuses is an OSError, as for a program.

The OSError has the kernel's errno, and its ``__cause__`` is the Refused with the reason.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError
from apmatrix.rules.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator


__tracebackhide__ = True  # pytest shows the caller's line instead


class UnknownName(ApmatrixError, LookupError):
    """No Linux system has that name, or several have it; the text lists them."""


class NotRunning(ApmatrixError):
    """The Linux system is not running; the text says why, if something was refused."""


class NotVirtual(ApmatrixError):
    """The machine's time is real, and cannot be advanced."""


class CannotRun(ApmatrixError):
    """No program can be run on an emulated machine here; the text says what the computer lacks or forbids."""


@contextmanager
def as_system_call() -> Iterator[None]:
    """Turn what a kernel refuses into the OSError that a program would get."""
    try:
        yield
    except Refused as refused:
        raise refused.as_oserror() from refused
