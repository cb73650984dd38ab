"""Accepts clients of a machine, however scarce descriptors, threads and memory become."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from apmatrix.service.errors import ExitCode
from apmatrix.service.protocol.messages import Problem, encode

if TYPE_CHECKING:
    from collections.abc import Callable

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE: Final = 0.05
"""Seconds until a client is accepted after one that could not be served: this is no time to be busy."""

_log = logging.getLogger(__name__)


class Acceptor:
    """Accepts connections on a thread of its own, until ``listener`` is shut down, which it closes then.

    ``serve`` is called with each connection, and returns False if it had to refuse it. A client that comes while
    there is no descriptor for its connection is told so, by means of one that is kept for this.
    """

    def __init__(self, listener: socket.socket, serve: Callable[[socket.socket], bool]) -> None:
        self._listener = listener
        self._serve = serve
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._pause = threading.Event()
        try:
            threading.Thread(target=self._run, name="control", daemon=True).start()
        except BaseException:
            self._close_spare()
            raise

    def close(self) -> None:
        """Accept no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread; closing alone would leave it waiting

    def _run(self) -> None:
        try:
            while True:
                try:
                    connection, _ = self._listener.accept()
                except OSError as error:
                    if error.errno in _EXHAUSTED:
                        self._turn_away(error)
                    elif error.errno != errno.ECONNABORTED:
                        return
                else:
                    if not self._serve(connection):
                        self._pause.wait(_PAUSE)
        finally:
            self._close_spare()
            self._listener.close()

    def _turn_away(self, reason: OSError) -> None:
        """Refuse the client that waits, if there still is one."""
        _log.warning("a client was refused: %s", reason.strerror)
        self._close_spare()
        self._listener.setblocking(False)
        with suppress(OSError):
            connection, _ = self._listener.accept()
            refuse(connection, str(reason.strerror))
        with suppress(OSError):
            self._listener.setblocking(True)
            self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._pause.wait(_PAUSE)

    def _close_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None


def refuse(connection: socket.socket, reason: str) -> None:
    """Tell a client why it is not served, without waiting for it, and end its connection."""
    sentence = f"the machine cannot serve another client now: {reason}; try again when commands on it have ended"
    with connection, suppress(OSError):
        connection.setblocking(False)
        connection.sendall(encode(Problem(sentence, ExitCode.UNREACHABLE)) + b"\n")
