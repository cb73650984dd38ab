"""A running machine's control socket: requests from the commands, one thread for each connection."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from apmatrix.arch import ApmatrixError
from apmatrix.faces.lines import ControlError, Lines
from apmatrix.faces.namespaces import device_directory
from apmatrix.service.occupation import Tenant
from apmatrix.service.operations import OPERATIONS, find_system
from apmatrix.service.session import Session
from apmatrix.service.sharing import SharedMount

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from apmatrix.emulation import Emulation, System
    from apmatrix.service.state import StateDirectory

_log = logging.getLogger(__name__)


class MachineServer:
    """Serves an emulation to commands. ``state`` is where it keeps things, for a machine in the background.

    ``stopped`` is set when somebody asked the machine to stop.
    """

    def __init__(self, emulation: Emulation, state: StateDirectory | None = None) -> None:
        self.emulation = emulation
        self.state = state
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._sessions: set[Session] = set()
        self._etc: dict[str, SharedMount] = {}

    @property
    def name(self) -> str:
        """The machine's name."""
        return self.emulation.machine.name

    def listen(self, listener: socket.socket, system: System | None = None) -> None:
        """Accept connections in the background; those that name no system mean ``system``."""
        threading.Thread(target=self._accept, args=(listener, system), name="control", daemon=True).start()

    def listen_at(self, path: Path) -> None:
        """Make a socket for this user only, and listen on it."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        listener.bind(f"/proc/self/fd/{directory}/{path.name}")
        os.close(directory)
        path.chmod(0o600)
        listener.listen(16)
        self.listen(listener)

    def serve(self, connection: socket.socket, system: System | None = None) -> None:
        """Answer one connection's requests in the background, until it ends."""
        client = _Client(self, Lines(connection), system)
        threading.Thread(target=client.run, name="client", daemon=True).start()

    def flush(self) -> None:
        """Wait until programs in all sessions see everything that happened."""
        with self._lock:
            sessions = tuple(self._sessions)
        for session in sessions:
            session.flush()

    def add(self, session: Session) -> None:
        """A command came."""
        with self._lock:
            self._sessions.add(session)

    def discard(self, session: Session) -> None:
        """A command ended."""
        with self._lock:
            self._sessions.discard(session)
        session.close()

    def etc(self, system: System) -> SharedMount:
        """What the commands on a system have for their /etc."""
        with self._lock:
            return self._etc.setdefault(system.name, SharedMount(partial(self._forget_locks, system.name)))

    def _forget_locks(self, system: str) -> None:
        if self.state:
            self.state.forget_locks(system)

    @property
    def sessions(self) -> int:
        """How many commands run."""
        return len(self._sessions)

    def _accept(self, listener: socket.socket, system: System | None) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.serve(connection, system)


class _Client:
    """One connection."""

    def __init__(self, server: MachineServer, lines: Lines, system: System | None) -> None:
        self.server = server
        self.lines = lines
        self.system = system
        self.session: Session | None = None
        self.tenant = Tenant(server.emulation, lines)
        self._listener: socket.socket | None = None
        self._enclosed: list[int] = []  # descriptors that go along with the answer

    def run(self) -> None:
        """Answer requests until the other end goes."""
        try:
            while (request := self.lines.receive()) is not None:
                try:
                    self._send(self._answer(request))
                finally:
                    # Only now: who asks for the end is answered before the process goes.
                    if request.get("op") == "down":
                        self.server.stopped.set()
        except (OSError, ValueError) as error:
            _log.debug("a connection ended: %s", error)
        finally:
            self._detach()
            self.tenant.close()
            self.lines.connection.close()

    def _send(self, answer: dict[str, Any]) -> None:
        enclosed, self._enclosed = self._enclosed, []
        try:
            self.lines.send(answer, enclosed)
        finally:
            for descriptor in enclosed:
                os.close(descriptor)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        own: dict[str, Callable[[dict[str, Any]], Any]] = {
            "attach": self._attach,
            "replay": self._replay,
            "take etc": self._take_etc,
            "give etc": self._give_etc,
            "detach": self._detach,
            "down": lambda _request: None,
            **self.tenant.operations,
        }
        operation = str(request.get("op"))
        try:
            if operation in own:
                return {"ok": own[operation](request)}
            if operation not in OPERATIONS:
                raise ControlError(f"the machine does not know the request {operation!r}", code=2)
            result = OPERATIONS[operation](self.server, self.system, request)
            self.server.flush()
        except ControlError as error:
            return {"error": str(error), "code": error.code}
        except ApmatrixError as error:
            return {"error": str(error), "code": 1}
        except OSError as error:  # what it looked at has just gone, say
            return {"error": f"request {operation}: {error}", "code": 1}
        except (KeyError, TypeError, ValueError) as error:
            return {"error": f"request {operation}: {error}", "code": 2}
        return {"ok": result}

    def _attach(self, request: dict[str, Any]) -> dict[str, Any]:
        """Serve a new place; its descriptors come along (``namespaces.Rooms.for_machine``)."""
        fuse, uevents, control, devices, dev = self.lines.take_descriptors(5)
        try:
            system = find_system(self.server.emulation, request["system"])
        except ApmatrixError:
            for descriptor in (fuse, uevents, control, devices, dev):
                os.close(descriptor)
            raise
        self.session = Session(system, fuse, uevents, self.server.flush)
        self.session.serve_devices(devices, dev, device_directory(self.server.name))
        self.server.add(self.session)
        self._listener = socket.socket(fileno=control)
        self.server.listen(self._listener, system)
        state = self.server.state
        return {"bindings": self.session.bindings, "state": str(state.of_system(system.name)) if state else None}

    def _replay(self, request: dict[str, Any]) -> int | None:
        return self.session.relay.replay(int(request["start"])) if self.session else None

    def _take_etc(self, _request: dict[str, Any]) -> dict[str, Any]:
        descriptor, work = self._etc.take(self)
        self._enclosed += [] if descriptor is None else [descriptor]
        return {"comes": len(self._enclosed), "work": work}

    def _give_etc(self, request: dict[str, Any]) -> None:
        descriptors = self.lines.take_descriptors(int(request["comes"]))
        self._etc.give(self, descriptors[0] if descriptors else None)

    @property
    def _etc(self) -> SharedMount:
        if self.session is None:
            raise ControlError("this connection has no place yet", code=2)
        return self.server.etc(self.session.system)

    def _detach(self, _request: dict[str, Any] | None = None) -> None:
        if self.session:
            self._etc.leave(self)
            self.server.discard(self.session)
            self.session = None
        if self._listener:
            # The accepting thread wakes up from it, closing alone would leave it there.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
