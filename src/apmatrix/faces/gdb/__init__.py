"""The GDB remote protocol, from the debugger's side."""

from apmatrix.faces.gdb.client import Break, GdbClient, State, Stop
from apmatrix.faces.gdb.errors import (
    Disconnected,
    Garbled,
    GdbError,
    NoAnswer,
    Refused,
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
    "Refused",
    "State",
    "Stop",
    "Unsupported",
    "WrongState",
]
