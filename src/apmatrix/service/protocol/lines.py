"""Lines on a Unix socket, which carry the messages, and file descriptors that come with them."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHUNK: Final = 65536
_MAX_DESCRIPTORS: Final = 8


class LongLine(ValueError):
    """A line has more bytes than the reader takes."""


class Lines:
    """One end of a connection. ``longest`` is the most bytes that a line may have when it is received."""

    def __init__(self, connection: socket.socket, longest: int | None = None) -> None:
        self.connection = connection
        self._longest = longest
        self._pending = bytearray()
        self._descriptors: list[int] = []

    def send(self, line: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a line, which must not contain a line feed; OSError if the other end is gone."""
        data = line + b"\n"
        if descriptors:
            data = data[socket.send_fds(self.connection, [data], list(descriptors)) :]
        self.connection.sendall(data)

    def receive(self) -> bytes | None:
        """The next line; None at the end of the connection. After LongLine the connection can no longer be used."""
        searched = 0
        while (end := self._pending.find(b"\n", searched)) < 0:
            searched = len(self._pending)
            if self._longest is not None and searched > self._longest:
                raise LongLine(f"a request may have {self._longest} bytes")
            data, descriptors, _, _ = socket.recv_fds(self.connection, _CHUNK, _MAX_DESCRIPTORS)
            self._keep(descriptors)
            if not data:
                return None
            self._pending += data
        line = bytes(self._pending[:end])
        del self._pending[: end + 1]
        return line

    def take_descriptors(self, count: int) -> list[int]:
        """The descriptors that came; ValueError unless there are ``count`` of them."""
        found, self._descriptors = self._descriptors, []
        if len(found) != count:
            _close(found)
            raise ValueError(f"{count} file descriptors expected, {len(found)} came")
        return found

    def close(self) -> None:
        """End the connection; descriptors that were not taken are closed."""
        self._keep([], most=0)
        self.connection.close()

    def _keep(self, descriptors: Sequence[int], most: int = _MAX_DESCRIPTORS) -> None:
        """Keep descriptors until they are taken; a client that sends more than any request needs loses them all."""
        self._descriptors += descriptors
        if len(self._descriptors) > most:
            _close(self._descriptors)
            self._descriptors = []


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
