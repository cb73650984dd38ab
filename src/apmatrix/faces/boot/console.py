"""The guest's console: text, and among it the messages of the guest's init to us."""

from __future__ import annotations

import os
import re
import select
import termios
import tty
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

_LEAD = b"\x1eapmatrix:"
_MARK = re.compile(rb"\x1eapmatrix:(\w+):([^\r\n]*)\r?\n")
_LONGEST_MARK = 256
_CHUNK = 65536
END_OF_TYPING, END_INTERVAL = b"\x04", 0.5
"""Typed in each silence of so many seconds once there is no more to type, until the reader there has seen it."""

KEPT = 65536
"""Bytes of the console's text that are kept for error messages."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A message of the guest's init: ``ready`` with the kernel's release, ``begin``, ``end`` with a code …"""

    name: str
    value: str


class Splitter:
    """Separates marks from text, wherever the stream is split."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> Iterator[bytes | Mark]:
        """Add what arrived and yield text and marks in order; the start of a mark waits for its end."""
        self._pending += data
        while found := _MARK.search(self._pending):
            if found.start():
                yield self._pending[: found.start()]
            self._pending = self._pending[found.end() :]
            yield Mark(found[1].decode(), found[2].decode(errors="replace"))
        keep = self._possible_mark()
        text, self._pending = self._pending[:keep], self._pending[keep:]
        if text:
            yield text

    def _possible_mark(self) -> int:
        """Where an incomplete mark may start."""
        start = self._pending.rfind(_LEAD[:1])
        if start < 0:
            return len(self._pending)
        begun = self._pending[start:]
        possible = _LEAD.startswith(begun) or (begun.startswith(_LEAD) and len(begun) < _LONGEST_MARK)
        return start if possible else len(self._pending)


class Console:
    """The connection to the guest's console. One thread owns it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._splitter = Splitter()
        self._kept = bytearray()
        self._arrived: deque[bytes | Mark] = deque()
        self._closed = False

    @property
    def ended(self) -> bool:
        """Whether the guest has gone and everything it said was read."""
        return self._closed and not self._arrived

    def events(self, timeout: float) -> Iterator[bytes | Mark]:
        """What has arrived; if nothing has, waits up to ``timeout`` seconds for it."""
        if not self._arrived and not self._closed and select.select((self._connection,), (), (), timeout)[0]:
            self._receive()
        while self._arrived:
            yield self._arrived.popleft()

    def _receive(self) -> None:
        try:
            data = self._connection.recv(_CHUNK)
        except OSError:
            data = b""
        self._closed = not data
        for event in self._splitter.feed(data):
            self._arrived.append(event)
            if isinstance(event, bytes):
                self._kept += event
                del self._kept[:-KEPT]

    def type(self, text: str) -> None:
        """Type at the console as a person would; OSError if the guest has gone."""
        self._connection.sendall(text.encode())

    def last_words(self, lines: int = 3) -> str:
        """The end of the console's text, on one line."""
        text = self._kept.decode(errors="replace").replace("\r", "")
        return " / ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:])

    def converse(self, source: int, sink: int) -> Iterator[Mark]:
        """Join the console to a terminal (file descriptors) until it ends; yields the marks on the way."""
        sources: tuple[int | socket.socket, ...] = (self._connection, source)
        with raw_terminal(source):
            while not self.ended:
                readable = select.select(sources, (), (), END_INTERVAL)[0]
                if source in readable and not self._type_from(source):
                    sources = (self._connection,)
                if not readable and source not in sources:
                    self._connection.sendall(END_OF_TYPING)
                for event in self.events(0):
                    if isinstance(event, Mark):
                        yield event
                    else:
                        os.write(sink, event)

    def _type_from(self, source: int) -> bool:
        """Pass on what was typed; False at the end of the input."""
        typed = os.read(source, _CHUNK)
        self._connection.sendall(typed)
        return bool(typed)


@contextmanager
def raw_terminal(fd: int) -> Iterator[None]:
    """Pass every key of a terminal on as it is; does nothing for what is not a terminal."""
    if not os.isatty(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
