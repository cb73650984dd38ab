"""How commands find a machine and talk to it."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeVar

from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.protocol.lines import Lines
from apmatrix.service.protocol.messages import (
    LONGEST_REQUEST,
    MachineRequest,
    decode_answer,
    decode_plain,
    encode,
)
from apmatrix.service.state import (
    MACHINE_VARIABLE,
    StateDirectory,
    machines,
    sandbox_directory,
    state_directory,
    unknown_machine,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from apmatrix.service.protocol.events import Happened

T = TypeVar("T")


PATIENCE: Final = 5.0
"""Seconds that a client waits before it looks whether the machine is still there."""

_PROBE_PATIENCE: Final = 30.0
"""Seconds that the machine has to answer another client, before this one gives up."""

_END_PATIENCE: Final = 120.0
"""Seconds that a machine may take to end its guests."""


class Client:
    """A connection to a machine; a context manager that ends it.

    A request may take as long as the machine works on it. While it does, the machine must go on answering others:
    ``path``, its control socket, is where a client looks for that.
    """

    def __init__(self, connection: socket.socket, path: Path | None = None) -> None:
        self.connection = connection
        self._path = path
        self._lines = Lines(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, request: MachineRequest[T], descriptors: Sequence[int] = ()) -> T:
        """Send a request, with file descriptors, and wait for its result.

        ControlError if the machine refuses it, with UNREADABLE if it cannot be sent, with UNREACHABLE if the machine
        is gone, or is stopped: it must not be asked anything else then, and does not carry out the request later.
        """
        try:
            message = encode(request)
        except UnicodeEncodeError as error:
            raise ControlError(f"{error.object!a} is not UTF-8", ExitCode.UNREADABLE) from error
        if len(message) > LONGEST_REQUEST:
            sentence = f"a request may have {LONGEST_REQUEST} bytes, and this one has {len(message)}: ask for less"
            raise ControlError(sentence, ExitCode.UNREADABLE)
        unsent: OSError | None = None
        try:
            self._lines.send(message, descriptors)
        except OSError as error:
            unsent = error  # a machine that did not want to read it has said why
        try:
            if unsent is None:
                self._await_answer()
            line = self._lines.receive()
        except OSError as error:
            reason = unsent or error
            raise ControlError(f"the machine does not answer: {reason.strerror}", ExitCode.UNREACHABLE) from error
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
        """Wait until the machine ends the connection; ControlError UNREACHABLE if it does not end."""
        end = time.monotonic() + _END_PATIENCE
        while True:
            while not self._readable(PATIENCE):
                self._require_running()
                if time.monotonic() > end:
                    sentence = f"the machine{self._where} is still ending its guests: see its log"
                    raise ControlError(sentence, ExitCode.UNREACHABLE)
            try:
                if self._lines.receive() is None:
                    return
            except OSError:
                return

    def close(self) -> None:
        """End the connection."""
        self._lines.close()

    def _await_answer(self) -> None:
        """Wait until an answer comes, for as long as the machine is alive; ControlError UNREACHABLE if it is not."""
        while not self._readable(PATIENCE):
            self._require_running()
            if self._path is not None and not _answers(self._path):
                raise ControlError(f"the machine{self._where} does not answer", ExitCode.UNREACHABLE)

    def _readable(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self.connection, select.POLLIN | select.POLLRDHUP)
        return bool(poll.poll(seconds * 1000))

    def _require_running(self) -> None:
        """ControlError if the machine's process was stopped by a signal."""
        process, _ = _peer(self.connection)
        if self._path is not None and _stopped(process):
            sentence = f"the machine{self._where} does not answer: its process was stopped: kill -CONT {process}"
            raise ControlError(sentence, ExitCode.UNREACHABLE)

    @property
    def _where(self) -> str:
        return f" {self._path.parent.name}" if self._path is not None else ""


_PEER: Final = struct.Struct("iII")  # struct ucred: process, user, group
_TIME: Final = struct.Struct("ll")  # struct timeval


def _peer(connection: socket.socket) -> tuple[int, int]:
    """The process and the user at the other end: those that began to listen there."""
    process, user, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return process, user


def _timeval(seconds: float) -> bytes:
    return _TIME.pack(int(seconds), int(seconds % 1 * 1e6))


def _stopped(process: int) -> bool:
    """True if a process is there and is stopped."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state in ("T", "t")


def _answers(path: Path) -> bool:
    """True if the machine that listens there answers a client that has just come, even if it refuses it."""
    try:
        with connect(path) as client:
            client.connection.settimeout(_PROBE_PATIENCE)
            client.connection.sendall(b"{}\n")
            return bool(client.connection.recv(1))
    except (OSError, ControlError):
        return False


def connect(path: Path) -> Client:
    """A connection to the machine that listens on a control socket; ControlError UNREACHABLE if none does.

    In a state directory, this user must be the one who is listening: ControlError UNREADABLE for anybody else.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    # Where too many clients wait already, connecting and sending would wait, too.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(_PROBE_PATIENCE))
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # A socket's address has few bytes, a path may have many.
        connection.connect(f"/proc/self/fd/{directory}/{path.name}")
    except OSError as error:
        connection.close()
        waits = isinstance(error, BlockingIOError)
        reason = "too many clients are waiting for it" if waits else error.strerror
        raise ControlError(f"the machine at {path} cannot be reached: {reason}", ExitCode.UNREACHABLE) from error
    finally:
        os.close(directory)
    _, user = _peer(connection)
    if path.parent.parent == state_directory() and user != os.geteuid():
        connection.close()
        sentence = f"{path}: user {user} listens there, not you: a machine of another user is not trusted"
        raise ControlError(sentence, ExitCode.UNREADABLE)
    return Client(connection, path)


def ask(machine: str | None, request: MachineRequest[T], descriptors: Sequence[int] = ()) -> T:
    """Ask a running machine, found as by :func:`find_machine`; ControlError if it cannot be reached or refuses."""
    with connect(find_machine(machine)) as client:
        return client.ask(request, descriptors)


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
    if not state.exists():
        raise unknown_machine(name)
    return state


def is_machine(word: str) -> bool:
    """True if a word that is not the path of a file is the name of a machine that is running."""
    if os.path.lexists(word) or "/" in word:
        return False
    try:
        return StateDirectory.of(word).running() or (sandbox_directory(word) / "control").exists()
    except (ControlError, OSError):
        return False
