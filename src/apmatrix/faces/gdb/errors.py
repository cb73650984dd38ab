"""Errors of the GDB remote protocol."""

from __future__ import annotations

from apmatrix.arch import ApmatrixError


class GdbError(ApmatrixError):
    """Base of the errors of a debug connection."""


class Disconnected(GdbError):
    """The peer closed the connection or is gone."""


class NoAnswer(GdbError):
    """No answer came within the time allowed."""


class Garbled(GdbError):
    """What came is not the protocol, or stayed damaged after every retransmission."""


class StubError(GdbError):
    """The peer answered ``E`` and a number, kept as ``number``."""

    def __init__(self, command: str, number: int) -> None:
        super().__init__(f"the debugger stub refused {command} with error {number:02x}")
        self.number = number


class Unsupported(GdbError):
    """The peer does not know the command."""


class WrongState(GdbError):
    """A command for a stopped target was given while it runs, or the reverse."""
