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
        self._arrived: list[tuple[int, int]] = []  # descriptors, and the pending byte that each came with
        self._descriptors: list[int] = []  # those of the last line, until they are taken

    def send(self, line: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send a line, which must not contain a line feed; OSError if the other end is gone."""
        data = line + b"\n"
        if descriptors:
            data = data[socket.send_fds(self.connection, [data], list(descriptors)) :]
        self.connection.sendall(data)

    def receive(self) -> bytes | None:
        """The next line; None at the end of the connection. After LongLine the connection can no longer be used.

        Descriptors that came with the line before, and were not taken, are closed.
        """
        _close(self._descriptors)
        self._descriptors = []
        searched = 0
        while (end := self._pending.find(b"\n", searched)) < 0:
            searched = len(self._pending)
            if self._longest is not None and searched > self._longest:
                raise LongLine(f"a request may have {self._longest} bytes")
            data, descriptors, _, _ = socket.recv_fds(self.connection, _CHUNK, _MAX_DESCRIPTORS)
            self._pending += data
            self._keep(descriptors)
            if not data:
                return None
        line = bytes(self._pending[:end])
        del self._pending[: end + 1]
        self._descriptors = [descriptor for place, descriptor in self._arrived if place <= end]
        self._arrived = [(place - end - 1, descriptor) for place, descriptor in self._arrived if place > end]
        return line

    def take_descriptors(self, count: int) -> list[int]:
        """The descriptors that came with the last line; ValueError unless there are ``count`` of them."""
        found, self._descriptors = self._descriptors, []
        if len(found) != count:
            _close(found)
            raise ValueError(f"{count} file descriptors expected, {len(found)} came")
        return found

    def close(self) -> None:
        """End the connection; descriptors that were not taken are closed."""
        _close(self._descriptors + [descriptor for _, descriptor in self._arrived])
        self._descriptors, self._arrived = [], []
        self.connection.close()

    def _keep(self, descriptors: Sequence[int]) -> None:
        """Keep descriptors with the last byte that came: what is received ends where a message with some ends.

        A client that sends more of them than any request needs loses them all.
        """
        self._arrived += [(len(self._pending) - 1, descriptor) for descriptor in descriptors]
        if len(self._arrived) > _MAX_DESCRIPTORS:
            _close([descriptor for _, descriptor in self._arrived])
            self._arrived = []


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
