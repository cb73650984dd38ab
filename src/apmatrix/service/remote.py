"""A level for a real operating system in another process, at both ends of the connection.

That process shares the guest's storage with the machine, which then executes its AP instructions;
however the connection ends, the level's queues are reset.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from apmatrix.arch import Interruption
from apmatrix.faces.boot.service import DONE, Outcome, ProgramInterruption
from apmatrix.faces.boot.storage import Storage
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.levels import BootedLevel, take_level
from apmatrix.service.protocol.levels import (
    Executed,
    ExecuteInstruction,
    ResetLevel,
    ShareStorage,
    TakeLevel,
    TakenLevel,
)

if TYPE_CHECKING:
    from apmatrix.emulation import Emulation
    from apmatrix.faces.boot import Service
    from apmatrix.service.client import Client
    from apmatrix.service.connection import Handlers
    from apmatrix.service.protocol.lines import Lines


class RemoteGuest:
    """What the machine does for a connection whose other end runs a real operating system."""

    def __init__(self, emulation: Emulation, lines: Lines) -> None:
        self._emulation = emulation
        self._lines = lines
        self._level: BootedLevel | None = None
        self._storage: Storage | None = None
        self._service: Service | None = None

    @property
    def handlers(self) -> Handlers:
        """The requests that it answers."""
        return {
            TakeLevel: self._take,
            ShareStorage: self._share,
            ExecuteInstruction: self._execute,
            ResetLevel: self._reset,
        }

    def close(self) -> None:
        """Give the level back when the connection has ended."""
        if self._level is not None:
            self._level.close()
        if self._storage is not None:
            self._storage.close()
        self._level = self._storage = self._service = None

    def _take(self, request: TakeLevel) -> TakenLevel:
        if self._level is not None:
            raise ControlError("this connection already has a level", ExitCode.UNREADABLE)
        if request.guest is None and any(system.linux.vmm.vms for system in self._emulation.lpars):
            raise ControlError("this LPAR's Linux runs guests that would end with it: stop them, or take a guest")
        self._level = take_level(self._emulation, request.lpar, request.guest)
        return TakenLevel(sorted(self._level.facilities))

    def _share(self, request: ShareStorage) -> None:
        (descriptor,) = self._lines.take_descriptors(1)
        try:
            if self._level is None or self._storage is not None:
                raise ControlError("storage is shared once, after a level is taken", ExitCode.UNREADABLE)
            self._storage = Storage(descriptor, request.size)
        finally:
            os.close(descriptor)
        self._service = self._level.attach(self._storage)

    def _execute(self, request: ExecuteInstruction) -> Executed:
        if self._service is None:
            raise ControlError("there is no storage yet", ExitCode.UNREADABLE)
        outcome = self._service.serve(request.frame, request.kernel_asce, request.user_asce)
        code = int(outcome.code) if isinstance(outcome, ProgramInterruption) else None
        return Executed(self._service.executed, code)

    def _reset(self, _request: ResetLevel) -> None:
        if self._level is not None:
            self._level.reset()


class RemoteLevel:
    """A level of a machine in another process: a GuestLevel. ControlError if that process refuses or is gone."""

    def __init__(self, client: Client, lpar: str | None, guest: str | None) -> None:
        self._client = client
        try:
            taken = client.ask(TakeLevel(lpar, guest))
        except BaseException:
            client.close()
            raise
        self.facilities = frozenset(taken.facilities)

    def __enter__(self) -> RemoteLevel:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def attach(self, storage: Storage) -> RemoteService:
        """Share the guest's storage."""
        self._client.ask(ShareStorage(storage.size), (storage.fd,))
        return RemoteService(self._client)

    def reset(self) -> None:
        """Reset the level's queues."""
        self._client.ask(ResetLevel())


class RemoteService:
    """Has AP instructions executed by the machine in another process: a Server."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.executed = 0

    def serve(self, address: int, kernel_asce: int, user_asce: int) -> Outcome:
        """Handle an operation exception; ControlError if the machine is gone."""
        done = self._client.ask(ExecuteInstruction(address, kernel_asce, user_asce))
        self.executed = done.executed
        return DONE if done.interruption is None else ProgramInterruption(Interruption(done.interruption))
