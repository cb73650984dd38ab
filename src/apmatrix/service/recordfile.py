"""The file of a record, at both ends: the client opens it, the machine works with the descriptor.

Only the client knows what a path means where its user is, and may open it with this user's rights.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from io import FileIO
from typing import TYPE_CHECKING

from apmatrix.service.errors import ControlError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from apmatrix.service.operations import Asked


@contextmanager
def new_record(path: Path) -> Iterator[int]:
    """The descriptor of a new file, for its owner only, to append to; it is removed if the machine refuses it.

    ControlError if it cannot be created.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except (OSError, ValueError) as error:
        raise ControlError(f"{path}: the record cannot be created ({_reason(error)}): choose another FILE") from error
    try:
        yield descriptor
    except ControlError:
        with suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(descriptor)


@contextmanager
def existing_record(path: Path) -> Iterator[int]:
    """The descriptor of a regular file to read; ControlError if it cannot be opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not make this wait
    except (OSError, ValueError) as error:
        sentence = f"{path}: the record cannot be read: {_reason(error)}"
        raise ControlError(sentence, ExitCode.UNREADABLE) from error
    try:
        _require_regular(descriptor, str(path))
        yield descriptor
    finally:
        os.close(descriptor)


def take_record(asked: Asked, name: str, mode: str) -> FileIO:
    """The file whose descriptor came with a request, unbuffered, to read ("rb") or to append to ("ab").

    ControlError unless it is a regular file that is open for that, ValueError without exactly one descriptor.
    """
    descriptor = asked.take_descriptor()
    try:
        _require_regular(descriptor, name)
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        if flags & os.O_PATH or flags & os.O_ACCMODE not in (os.O_RDWR, os.O_RDONLY if mode == "rb" else os.O_WRONLY):
            raise ControlError(f"{name}: the file is not open for {'reading' if mode == 'rb' else 'writing'}")
    except BaseException:
        os.close(descriptor)
        raise
    return FileIO(descriptor, mode)


def _require_regular(descriptor: int, name: str) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise ControlError(
            f"{name}: the record cannot be read or written: it is not a regular file", ExitCode.UNREADABLE
        )


def _reason(error: OSError | ValueError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
