"""Uevents of an emulated system, sent to the udevd and the libudev programs of its network namespace.

The root user of the namespace may send a uevent message to the kernel, which numbers it and delivers it to all
listeners in that namespace, as if it were its own.
"""

from __future__ import annotations

import logging
import queue
import socket
import struct
import threading
from typing import TYPE_CHECKING, Final

from apmatrix.linux.core import Uevent

if TYPE_CHECKING:
    from apmatrix.linux import LinuxSystem

_HEADER: Final = struct.Struct("=IHHII")
_FIRST_TYPE: Final = 0x10
_REQUEST: Final = 1
_KERNEL: Final = (0, 0)

_log = logging.getLogger(__name__)


def message(event: Uevent) -> bytes:
    """The netlink message for an event: as the kernel sends it, without SEQNUM, which the kernel adds."""
    lines = [line for line in event.lines() if not line.startswith("SEQNUM=")]
    text = "\0".join([f"{event.action}@{event.devpath}", *lines, ""]).encode("latin-1")
    return _HEADER.pack(_HEADER.size + len(text), _FIRST_TYPE, _REQUEST, 0, 0) + text


class UeventRelay:
    """Passes a system's events on, in order, from a thread of its own, to one network namespace.

    ``descriptor`` is a NETLINK_KOBJECT_UEVENT socket made there; the relay closes it.
    """

    def __init__(self, system: LinuxSystem, descriptor: int) -> None:
        self._system = system
        self._socket = socket.socket(fileno=descriptor)
        self._queue: queue.SimpleQueue[Uevent | threading.Event | None] = queue.SimpleQueue()
        self._queued = 0
        self._sent = 0
        with system.kernel:
            self._before = system.uevents.history
            self._unsubscribe = system.uevents.subscribe(self._put)
        self._thread = threading.Thread(target=self._run, name="uevents", daemon=True)
        self._thread.start()

    def flush(self) -> None:
        """Wait until every event so far has been sent."""
        if self._queued == self._sent:
            return
        sent = threading.Event()
        self._queue.put(sent)
        while not sent.wait(1) and self._thread.is_alive():
            pass

    def replay(self, start: int = 0) -> int | None:
        """Send the events from before the relay again, for a udevd that was started only now.

        It sends from number ``start`` up to the next ``change`` event, which is what rules act upon, and returns the
        number to continue with once that has been handled, or None at the end. Acting takes time, and at boot the
        later events came after it.
        """
        for number, event in enumerate(self._before[start:], start + 1):
            with self._system.kernel:
                self._put(event)
            if event.action == "change":
                self.flush()
                return number
        self.flush()
        return None

    def _put(self, event: Uevent) -> None:
        """Queue an event; under the system's lock."""
        self._queued += 1
        self._queue.put(event)

    def close(self) -> None:
        """Stop once everything queued has been sent."""
        with self._system.kernel:
            self._unsubscribe()
        self._queue.put(None)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, Uevent):
                self._send(item)
                self._sent += 1
            else:
                item.set()
        self._socket.close()

    def _send(self, event: Uevent) -> None:
        try:
            self._socket.sendto(message(event), _KERNEL)
        except OSError as error:
            _log.warning("uevent %s %s cannot be sent: %s", event.action, event.devpath, error.strerror)
