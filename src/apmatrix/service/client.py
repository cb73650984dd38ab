"""How commands find a machine and talk to it."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Self, TypeVar

from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.protocol.lines import Lines
from apmatrix.service.protocol.messages import MachineRequest, decode_answer, decode_plain, encode
from apmatrix.service.state import MACHINE_VARIABLE, StateDirectory, machines, sandbox_directory, unknown_machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from apmatrix.service.protocol.events import Happened

T = TypeVar("T")


class Client:
    """A connection to a machine; a context manager that ends it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._lines = Lines(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, request: MachineRequest[T], descriptors: Sequence[int] = ()) -> T:
        """Send a request, with file descriptors, and wait for its result.

        ControlError if the machine refuses it, with UNREADABLE if it cannot be sent, with UNREACHABLE if the machine
        is gone.
        """
        try:
            self._lines.send(encode(request), descriptors)
        except UnicodeEncodeError as error:
            raise ControlError(f"{error.object!a} is not UTF-8", ExitCode.UNREADABLE) from error
        except OSError as error:
            raise ControlError(f"the machine does not answer: {error.strerror}", ExitCode.UNREACHABLE) from error
        try:
            line = self._lines.receive()
        except OSError as error:
            raise ControlError(f"the machine does not answer: {error.strerror}", ExitCode.UNREACHABLE) from error
        if line is None:
            raise ControlError("the machine ended the connection", ExitCode.UNREACHABLE)
        return decode_answer(line, type(request))

    def take_descriptors(self, count: int) -> list[int]:
        """The file descriptors that came with the last answer; ValueError unless there are ``count`` of them."""
        return self._lines.take_descriptors(count)

    def subscribe(self) -> Iterator[Happened]:
        """The events from now on, as they come; no other request can follow.

        The iterator ends with ControlError UNREACHABLE when the machine ends.
        """
        from apmatrix.service.protocol.events import Subscribe  # noqa: PLC0415 - few commands need it

        self.ask(Subscribe())
        return self._events()

    def _events(self) -> Iterator[Happened]:
        from apmatrix.service.protocol.events import Happened  # noqa: PLC0415 - few commands need it

        while True:
            try:
                line = self._lines.receive()
            except OSError:
                line = None
            if line is None:
                raise ControlError("the machine ended", ExitCode.UNREACHABLE)
            yield decode_plain(line, Happened)

    def wait_for_the_end(self) -> None:
        """Wait until the machine ends the connection."""
        while self._lines.receive() is not None:
            pass

    def close(self) -> None:
        """End the connection."""
        self._lines.close()


def connect(path: Path) -> Client:
    """A connection to the machine that listens on a control socket; ControlError UNREACHABLE if none does."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # A socket's address has few bytes, a path may have many.
        connection.connect(f"/proc/self/fd/{directory}/{path.name}")
    except OSError as error:
        connection.close()
        sentence = f"the machine at {path} cannot be reached: {error.strerror}"
        raise ControlError(sentence, ExitCode.UNREACHABLE) from error
    finally:
        os.close(directory)
    return Client(connection)


def ask(machine: str | None, request: MachineRequest[T]) -> T:
    """Ask a running machine, found as by :func:`find_machine`; ControlError if it cannot be reached or refuses."""
    with connect(find_machine(machine)) as client:
        return client.ask(request)


def find_machine(name: str | None) -> Path:
    """The control socket of a machine: the named one, else this shell's, else the only one that is running.

    ControlError says what is missing.
    """
    name = name or os.environ.get(MACHINE_VARIABLE)
    if name is None:
        running = [state for state in machines() if state.running()]
        if len(running) == 1:
            return running[0].socket
        if not running:
            hint = "start one: apmatrix up FILE, or apmatrix shell FILE"
            raise ControlError(f"no machine is running: {hint}", ExitCode.UNREACHABLE)
        names = ", ".join(state.path.name for state in running)
        raise ControlError(
            f"several machines are running: choose with --machine NAME, of {names}", ExitCode.UNREADABLE
        )
    inside = sandbox_directory(name) / "control"
    if inside.exists():
        return inside
    state = StateDirectory.of(name)
    if not state.running():
        hint = "apmatrix up FILE starts one, apmatrix status lists them"
        raise ControlError(f"machine {name} is not running: {hint}", ExitCode.UNREACHABLE)
    return state.socket


def stopped_machine(name: str | None) -> StateDirectory:
    """The state of a machine: the named one, else this shell's, else the only one that keeps keys."""
    name = name or os.environ.get(MACHINE_VARIABLE)
    if name is None:
        keeping = [state for state in machines() if state.keeps_keys()]
        if len(keeping) != 1:
            names = ", ".join(state.path.name for state in keeping)
            sentence = f"choose a machine with --machine (those with keys: {names or 'none'})"
            raise ControlError(sentence, ExitCode.UNREADABLE)
        return keeping[0]
    state = StateDirectory.of(name)
    if not state.path.is_dir():
        raise unknown_machine(name)
    return state
