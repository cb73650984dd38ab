"""Messages between a machine and its clients: one JSON object in a line, on a Unix socket.

File descriptors may come with a line. Requests have ``op``; replies have ``ok`` with the result, or ``error`` with a
sentence and ``code``, the exit code that fits it.
"""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from apmatrix.arch import ApmatrixError

if TYPE_CHECKING:
    from collections.abc import Sequence

RUN: Final = "/run/apmatrix"
"""Where a machine's control socket is inside its namespaces: ``/run/apmatrix/NAME/control``."""

_CHUNK: Final = 65536
_MAX_DESCRIPTORS: Final = 8


class ControlError(ApmatrixError):
    """The machine refused a request, or cannot be reached; ``code`` is the exit code that fits."""

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


class Lines:
    """One end of such a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._pending = b""
        self._descriptors: list[int] = []

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Send a message; BrokenPipeError and the like if the other end is gone."""
        line = json.dumps(message).encode() + b"\n"
        if descriptors:
            sent = socket.send_fds(self.connection, [line], list(descriptors))
            line = line[sent:]
        self.connection.sendall(line)

    def receive(self) -> dict[str, Any] | None:
        """The next message; None at the end of the connection. ValueError for what is no JSON object."""
        while b"\n" not in self._pending:
            data, descriptors, _, _ = socket.recv_fds(self.connection, _CHUNK, _MAX_DESCRIPTORS)
            self._descriptors += descriptors
            if not data:
                return None
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError(f"not a JSON object: {line[:80]!r}")
        return message

    def take_descriptors(self, count: int) -> list[int]:
        """The descriptors that came; ValueError if they are not ``count``."""
        found, self._descriptors = self._descriptors, []
        if len(found) != count:
            for descriptor in found:
                os.close(descriptor)
            raise ValueError(f"{count} file descriptors expected, {len(found)} came")
        return found

    def request(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> Any:
        """Send a request and wait for its result; ControlError if it is refused or the machine is gone."""
        try:
            self.send(message, descriptors)
            reply = self.receive()
        except OSError as error:
            raise ControlError(f"the machine does not answer: {error.strerror}") from error
        if reply is None:
            raise ControlError("the machine ended the connection")
        if "error" in reply:
            raise ControlError(reply["error"], reply.get("code", 1))
        return reply["ok"]
