"""Errors of the GDB remote protocol.

ApmatrixError
└── GdbError
    ├── Disconnected    the peer closed the connection or is gone
    ├── NoAnswer        no answer within the time allowed; the peer may be alive
    ├── Garbled         the peer does not speak the protocol
    ├── StubError       the peer answered with an error number
    ├── Unsupported     the peer does not know the command
    └── WrongState      a command for a stopped target while it runs, or the reverse
"""

from __future__ import annotations

from apmatrix.arch import ApmatrixError


class GdbError(ApmatrixError):
    """Root of what a debug connection can end with."""


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
