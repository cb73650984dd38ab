"""How commands find a machine and talk to it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from apmatrix.faces.lines import RUN, ControlError, Lines
from apmatrix.service.state import MACHINE_VARIABLE, StateDirectory, machines


def find_machine(name: str | None) -> Path:
    """The control socket of the machine: of that name, else of this shell's, else of the only one that runs.

    ControlError says what is missing.
    """
    name = name or os.environ.get(MACHINE_VARIABLE)
    if name is None:
        running = [state for state in machines() if state.running()]
        if len(running) == 1:
            return running[0].socket
        names = ", ".join(state.path.name for state in running)
        hint = (
            f"which one? --machine NAME, of {names}"
            if running
            else "start one: apmatrix up FILE, or apmatrix shell FILE"
        )
        raise ControlError(f"{'several machines run' if running else 'no machine runs'}: {hint}", code=2)
    inside = Path(RUN, name, "control")
    if inside.exists():
        return inside
    state = StateDirectory.of(name)
    if not state.running():
        raise ControlError(f"no machine {name} runs: apmatrix up FILE starts one, apmatrix status lists them")
    return state.socket


def stopped_machine(name: str | None) -> StateDirectory:
    """The state of a machine: by its name, else of this shell's, else of the only one that keeps keys."""
    name = name or os.environ.get(MACHINE_VARIABLE)
    if name is None:
        keeping = [state for state in machines() if state.keeps_keys()]
        if len(keeping) != 1:
            names = ", ".join(state.path.name for state in keeping)
            raise ControlError(f"which machine? --machine NAME, of {names or 'those that keep keys: none'}", code=2)
        return keeping[0]
    state = StateDirectory.of(name)
    if not state.path.is_dir():
        raise ControlError(f"there is no machine {name}: apmatrix status lists them", code=2)
    return state


def connect(path: Path) -> Lines:
    """A connection to the machine behind a control socket; ControlError if nobody listens."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # A socket's address is short, a path may be long.
        connection.connect(f"/proc/self/fd/{directory}/{path.name}")
    except OSError as error:
        connection.close()
        raise ControlError(f"the machine behind {path} cannot be reached: {error.strerror}") from error
    finally:
        os.close(directory)
    return Lines(connection)
