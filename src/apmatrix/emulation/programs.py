"""Programs in an emulated Linux: they send requests through its AP bus and wait for the replies."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError, Mode
from apmatrix.linux.ap.message import ApMessage

if TYPE_CHECKING:
    from apmatrix.arch import Apqn
    from apmatrix.emulation.bringup import System
    from apmatrix.emulation.rsa import RsaRequest

TIMEOUT = 20.0
"""Seconds after which a program gives up; a card answers in milliseconds."""


class NoReply(ApmatrixError):
    """A request ended without a reply; ``errno`` is what the program sees."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.errno = number


class Program:
    """One program; its calls may come from several threads."""

    def __init__(self, system: System) -> None:
        self.system = system

    def call(self, apqn: Apqn, message: bytes) -> bytes:
        """Send a request through a queue and wait for the reply; raises NoReply."""
        linux = self.system.linux
        finished = threading.Event()
        request = ApMessage(message, lambda _request: finished.set())
        with linux.kernel:
            queue = linux.ap.queues.get(apqn)
            if queue is None:
                raise self._no_queue(apqn)
            queue.send(request)
        if not finished.wait(TIMEOUT):
            with linux.kernel:
                queue.cancel(request)
            raise NoReply(f"{apqn} did not answer {self.system.name} within {TIMEOUT:.0f} s", errno.ETIMEDOUT)
        if request.rc:
            raise NoReply(f"{apqn} refused {self.system.name} a request: {os.strerror(-request.rc)}", -request.rc)
        return request.reply

    def compute(self, apqn: Apqn, request: RsaRequest) -> int:
        """The result of an RSA request; raises NoReply, or BadReply if the card refuses it."""
        return request.result(self.call(apqn, request.message(self.mode(apqn), apqn.domain)))

    def mode(self, apqn: Apqn) -> Mode:
        """What the card of a queue is, as its ``type`` attribute says (``CEX5C``); NoReply if it is gone."""
        try:
            return Mode(self.system.admin.read(f"devices/ap/card{apqn.adapter:02x}/type")[-1])
        except FileNotFoundError:
            raise self._no_queue(apqn) from None

    def _no_queue(self, apqn: Apqn) -> NoReply:
        return NoReply(f"{self.system.name} has no queue {apqn}", errno.ENODEV)

    def queues(self) -> tuple[Apqn, ...]:
        """The queues that the system's own driver has and that are on line."""
        linux = self.system.linux
        with linux.kernel:
            return tuple(
                apqn
                for apqn, queue in linux.ap.queues.items()
                if queue.driver is not None
                and queue.driver.name == "cex4queue"
                and queue.config
                and not queue.chkstop
            )
