"""One client's connection to a machine: its requests are answered in order, on a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
from typing import TYPE_CHECKING, Any, TypeAlias

from apmatrix.arch import ApmatrixError
from apmatrix.arch.events import RequestRefused
from apmatrix.emulation.refusal import finding_of
from apmatrix.faces.namespaces import device_directory
from apmatrix.service import keys, securekeys, testbed  # noqa: F401 - they answer requests
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.naming import find_system
from apmatrix.service.operations import OPERATIONS, Asked, list_guests
from apmatrix.service.protocol.events import Subscribe, Subscribed
from apmatrix.service.protocol.guests import ListGuests
from apmatrix.service.protocol.lines import Lines, LongLine
from apmatrix.service.protocol.machine import GetStatus, MachineStatus, StopMachine
from apmatrix.service.protocol.messages import (
    LONGEST_REQUEST,
    MachineRequest,
    Problem,
    Success,
    decode_request,
    encode,
    operation,
)
from apmatrix.service.protocol.session import Attach, Attached, Detach, EtcMount, GiveEtc, ReplayUevents, TakeEtc
from apmatrix.service.remote import RemoteGuest
from apmatrix.service.session import Offer, Session, peer_process
from apmatrix.service.state import sandbox_directory

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.emulation import System
    from apmatrix.service.events import Subscription
    from apmatrix.service.server import MachineServer
    from apmatrix.service.sharing import SharedMount

_log = logging.getLogger(__name__)

_UNKNOWN_PROCESSES = (
    "this machine is in another PID namespace than the command and does not see its processes: "
    "start a machine in the command's namespace, or run the command in the machine's"
)

Handlers: TypeAlias = "dict[type[MachineRequest[Any]], Callable[[Any], Any]]"
"""The functions that answer the requests that belong to a connection."""


class Connection:
    """A connection that may serve a sandbox, or a real operating system, while it lasts.

    ``system`` is the Linux that the client's command runs in, if any.
    """

    def __init__(self, server: MachineServer, connection: socket.socket, system: System | None) -> None:
        self._server = server
        self._lines = Lines(connection, LONGEST_REQUEST)
        self._asked = Asked(server.emulation, system, self._lines)
        self._session: Session | None = None
        self._guest = RemoteGuest(server.emulation, self._lines)
        self._listener: socket.socket | None = None
        self._subscription: Subscription | None = None
        self._enclosed: list[int] = []  # descriptors that are sent with the answer
        self._handlers: Handlers = {
            GetStatus: self._status,
            StopMachine: lambda _request: None,
            Attach: self._attach,
            ReplayUevents: self._replay_uevents,
            TakeEtc: self._take_etc,
            GiveEtc: self._give_etc,
            Subscribe: self._subscribe,
            Detach: lambda _request: self._detach(),
            **self._guest.handlers,
        }
        self._known = (*self._handlers, *OPERATIONS)

    def run(self) -> None:
        """Answer requests until the other end is gone, or sends a line that is too long."""
        try:
            while (line := self._lines.receive()) is not None:
                self._serve(line)
                if self._subscription is not None:
                    self._send_events(self._subscription)
                    break
        except LongLine as error:
            with contextlib.suppress(OSError):
                self._send(Problem(str(error), ExitCode.UNREADABLE))
        except OSError as error:
            _log.debug("a connection ended: %s", error)
        finally:
            if self._subscription is not None:
                self._subscription.close()
            self._detach()
            self._guest.close()
            self._lines.close()

    def close(self) -> None:
        """End the connection from another thread, once the request that is being answered is."""
        with contextlib.suppress(OSError):
            self._lines.connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, line: bytes) -> None:
        if _has_gone(self._lines.connection):
            raise BrokenPipeError("the client gave up before its request was read")
        try:
            request = decode_request(line, self._known)
        except ControlError as error:
            self._send(Problem(str(error), error.code))
            return
        try:
            self._send(self._answer(request))
        finally:
            # Only now: a client that asks for the end is answered before the process ends.
            if isinstance(request, StopMachine):
                self._server.stopped.set()

    def _send(self, answer: Success[Any] | Problem) -> None:
        enclosed, self._enclosed = self._enclosed, []
        try:
            self._lines.send(encode(answer), enclosed)
        finally:
            for descriptor in enclosed:
                os.close(descriptor)

    def _answer(self, request: MachineRequest[Any]) -> Success[Any] | Problem:
        name = f"request {operation(type(request))}"
        try:
            return Success(self._carry_out(request))
        except ControlError as error:
            return Problem(str(error), error.code, error.findings)
        except ApmatrixError as error:
            return Problem(str(error), ExitCode.REFUSED, (finding_of(error),))
        except OSError as error:  # such as a file that has just gone
            return Problem(f"{name}: {error}", ExitCode.REFUSED)
        except ValueError as error:
            return Problem(f"{name}: {error}", ExitCode.UNREADABLE)
        except Exception:
            _log.exception("%s failed", name)
            return Problem(f"{name}: an internal error, see the log of the machine", ExitCode.REFUSED)

    def _carry_out(self, request: MachineRequest[Any]) -> Any:
        kind = type(request)
        if kind in self._handlers:
            return self._handlers[kind](request)
        try:
            result = OPERATIONS[kind](self._asked, request)
        except ApmatrixError as error:
            self._server.events.publish(RequestRefused(operation(kind), str(error)))
            raise
        self._server.flush()
        return result

    def _subscribe(self, _request: Subscribe) -> Subscribed:
        self._subscription = self._server.events.subscribe()
        return Subscribed(self._subscription.sequence)

    def _send_events(self, subscription: Subscription) -> None:
        for happened in subscription.until_closed(self._lines.connection):
            self._lines.send(encode(happened))

    def _status(self, _request: GetStatus) -> MachineStatus:
        emulation = self._server.emulation
        return MachineStatus(
            self._server.name,
            tuple(system.name for system in emulation.systems()),
            list_guests(self._asked, ListGuests()),
            self._server.sessions,
            tuple(refusal.finding for refusal in emulation.refusals),
        )

    # a command in a sandbox

    def _attach(self, request: Attach) -> Attached:
        """Serve a new sandbox, whose descriptors come with the request (``Sandbox.for_machine``)."""
        with Offer(self._lines.take_descriptors(Offer.COUNT)) as offer:
            if self._session is not None:
                raise ControlError("this connection already has a sandbox", ExitCode.UNREADABLE)
            if not peer_process(self._lines.connection):
                raise ControlError(_UNKNOWN_PROCESSES, ExitCode.REFUSED)
            system = find_system(self._server.emulation, request.system)
            nodes = device_directory(sandbox_directory(self._server.name))
            self._session = Session(system, offer, str(nodes), self._server.flush)
            self._listener = offer.take_listener()
        self._server.add(self._session)
        self._server.listen(self._listener, system)
        state = self._server.state
        kept = str(state.of_system(system.name)) if state else None
        return Attached(system.name, tuple(self._session.bindings), kept)

    def _replay_uevents(self, request: ReplayUevents) -> int | None:
        return self._session.relay.replay(request.start) if self._session else None

    def _take_etc(self, _request: TakeEtc) -> EtcMount:
        descriptor, work = self._etc.take(self)
        self._enclosed += [] if descriptor is None else [descriptor]
        return EtcMount(bool(self._enclosed), work)

    def _give_etc(self, request: GiveEtc) -> None:
        descriptors = self._lines.take_descriptors(int(request.comes))
        self._etc.give(self, descriptors[0] if descriptors else None)

    @property
    def _etc(self) -> SharedMount:
        if self._session is None:
            raise ControlError("this connection has no sandbox yet", ExitCode.UNREADABLE)
        return self._server.etc(self._session.system)

    def _detach(self) -> None:
        if self._session:
            self._etc.leave(self)
            self._server.discard(self._session)
            self._session = None
        if self._listener:
            # This wakes the accepting thread; closing alone would leave it waiting.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None


def _has_gone(connection: socket.socket) -> bool:
    """True if the other end has closed the connection: what it asked for is not wanted any more."""
    poll = select.poll()
    poll.register(connection, 0)  # POLLHUP is always reported: no data can be sent in either direction
    return bool(poll.poll(0))
