"""A running machine's control socket: requests from the commands, one thread for each connection."""

from __future__ import annotations

import os
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from apmatrix.service.acceptor import Acceptor, refuse
from apmatrix.service.connection import Connection
from apmatrix.service.events import Events
from apmatrix.service.sharing import SharedMount

if TYPE_CHECKING:
    from pathlib import Path

    from apmatrix.emulation import Emulation, System
    from apmatrix.service.session import Session
    from apmatrix.service.state import StateDirectory


MOST_CONNECTIONS: Final = 1024
"""How many connections a machine serves at once; those beyond are told to come again later."""


class MachineServer:
    """Serves an emulation to commands. ``state`` is where it keeps things, for a machine in the background.

    ``stopped`` is set when a client asks the machine to stop. ``events`` passes on what happens to subscribers.
    """

    def __init__(self, emulation: Emulation, state: StateDirectory | None = None) -> None:
        self.emulation = emulation
        self.state = state
        self.stopped = threading.Event()
        self.events = Events(emulation.machine.clock.now)
        emulation.machine.observers.append(self.events.publish)
        self._lock = threading.Lock()  # guards the sets and dictionaries below
        self._sessions: set[Session] = set()
        self._etc: dict[str, SharedMount] = {}
        self._clients: set[Connection] = set()
        self._acceptors: WeakSet[Acceptor] = WeakSet()

    @property
    def name(self) -> str:
        """The machine's name."""
        return self.emulation.machine.name

    def close(self) -> None:
        """Accept no more clients, and end the connections to those that there are, and so their commands."""
        for acceptor in tuple(self._acceptors):
            acceptor.close()
        with self._lock:
            clients = tuple(self._clients)
        for client in clients:
            client.close()

    def listen(self, listener: socket.socket, system: System | None = None) -> None:
        """Accept connections in the background; requests that name no system mean ``system``."""
        self._acceptors.add(Acceptor(listener, lambda connection: self.serve(connection, system)))

    def listen_at(self, path: Path) -> None:
        """Make a socket for this user only, and listen on it."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        listener.bind(f"/proc/self/fd/{directory}/{path.name}")
        os.close(directory)
        path.chmod(0o600)
        listener.listen(socket.SOMAXCONN)
        self.listen(listener)

    def serve(self, connection: socket.socket, system: System | None = None) -> bool:
        """Answer one connection's requests in the background, until it ends.

        False if there are too many connections or threads already: the client is told so.
        """
        client = Connection(self, connection, system)
        with self._lock:
            known = len(self._clients)
            if known < MOST_CONNECTIONS:
                self._clients.add(client)
        if known >= MOST_CONNECTIONS:
            refuse(connection, f"it serves {known} connections already")
            return False
        try:
            threading.Thread(target=self._run, args=(client,), name="client", daemon=True).start()
        except (RuntimeError, MemoryError) as error:  # no more threads
            self._forget(client)
            refuse(connection, str(error))
            return False
        return True

    def _run(self, client: Connection) -> None:
        try:
            client.run()
        finally:
            self._forget(client)

    def _forget(self, client: Connection) -> None:
        with self._lock:
            self._clients.discard(client)

    def flush(self) -> None:
        """Wait until programs in all sessions see everything that happened."""
        with self._lock:
            sessions = tuple(self._sessions)
        for session in sessions:
            session.flush()

    def add(self, session: Session) -> None:
        """Register a command's session, so that it sees what happens."""
        with self._lock:
            self._sessions.add(session)

    def discard(self, session: Session) -> None:
        """Close the session of a command that ended."""
        with self._lock:
            self._sessions.discard(session)
        session.close()

    def etc(self, system: System) -> SharedMount:
        """The mount of /etc that the commands on a system share."""
        with self._lock:
            return self._etc.setdefault(system.name, SharedMount(partial(self._forget_locks, system.name)))

    def _forget_locks(self, system: str) -> None:
        if self.state:
            self.state.forget_locks(system)

    @property
    def sessions(self) -> int:
        """How many commands are running."""
        return len(self._sessions)
