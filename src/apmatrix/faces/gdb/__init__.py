"""The GDB remote protocol, from the debugger's side."""

from apmatrix.faces.gdb.client import Break, GdbClient, Stop, TargetState
from apmatrix.faces.gdb.errors import (
    Disconnected,
    Garbled,
    GdbError,
    NoAnswer,
    StubError,
    Unsupported,
    WrongState,
)

__all__ = [
    "Break",
    "Disconnected",
    "Garbled",
    "GdbClient",
    "GdbError",
    "NoAnswer",
    "Stop",
    "StubError",
    "TargetState",
    "Unsupported",
    "WrongState",
]
