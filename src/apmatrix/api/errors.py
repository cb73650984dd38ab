"""What the Python API itself refuses.

    ApmatrixError
    ├── UnknownName             no system of that name, or several; also a LookupError
    └── NotRunning              the system of that name is known, but does not run

What a kernel of the machine refuses is an OSError with the kernel's errno, whose ``__cause__`` is the Refused that
knows the reason. All else comes from the rooms below: ConfigError, ProfileError, FaultError, ProgramCheck.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError
from apmatrix.rules.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator


class UnknownName(ApmatrixError, LookupError):
    """There is no Linux system of that name, or there are several; the text lists what there is."""


class NotRunning(ApmatrixError):
    """The Linux system is not running; the text says why, if something was refused."""


@contextmanager
def as_system_call() -> Iterator[None]:
    """Turn what a kernel refuses into the OSError that a program would get."""
    try:
        yield
    except Refused as refused:
        raise refused.as_oserror() from refused
