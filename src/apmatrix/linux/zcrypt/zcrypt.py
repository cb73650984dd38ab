"""zcrypt: requests of programs in a Linux system, sent to the cards it has (hardware.md 5.2).

Every call waits for the card's answer. Errors are Refused with the errno that the ioctl gives.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, TypeVar

from apmatrix.linux.ap import ApMessage
from apmatrix.linux.zcrypt.attempts import Attempt, CcaAttempt, Ep11Attempt, RandomAttempt, RsaAttempt
from apmatrix.linux.zcrypt.cprb import CcaReply, CcaRequest, Ep11Request, StatusError, no_room
from apmatrix.linux.zcrypt.dispatch import Dispatcher
from apmatrix.linux.zcrypt.exchange import exchange
from apmatrix.linux.zcrypt.perms import Permissions
from apmatrix.linux.zcrypt.replies import Reply, ReplyError, random_data
from apmatrix.rules.refusals import Failed, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.linux.ap import ApBus, ApQueue
    from apmatrix.linux.core import Task
    from apmatrix.linux.zcrypt.rsa import RsaRequest

T = TypeVar("T")

SMALLEST_BUFFER: Final = 12288
"""Bytes of Linux's message buffers, if no card takes longer messages."""


class Zcrypt:
    """The crypto of a Linux system, on the queues of its AP bus.

    ``opens`` counts the open files of all device nodes, destroyed ones included. ``random_sources`` is the number of
    queues that random numbers come from; the listeners ``on_random_sources`` are called when it changes.
    """

    def __init__(self, bus: ApBus) -> None:
        self.bus = bus
        self.opens = 0
        self.random_sources = 0
        self.on_random_sources: list[Callable[[], None]] = []
        self._dispatcher = Dispatcher(bus)

    def count_random_source(self, change: int) -> None:
        """A queue of a CCA coprocessor comes (1) or goes (-1)."""
        self.random_sources += change
        for listener in self.on_random_sources:
            listener()

    # the requests

    def rsa(self, request: RsaRequest, permissions: Permissions | None = None, *, queue: str | None = None) -> bytes:
        """Raw RSA; the result has the length of the modulus. ``queue`` (``05.0004``) names the only one to use.

        Refused: EINVAL for operands that do not fit or that the card refuses, ENODEV where no queue can do it, EIO
        after ten failed tries.
        """
        request.check()
        return self.rsa_when_chosen(request.length, lambda: request, permissions, crt=request.crt, queue=queue)

    def rsa_when_chosen(
        self,
        length: int,
        load: Callable[[], RsaRequest],
        permissions: Permissions | None = None,
        *,
        crt: bool,
        queue: str | None = None,
        task: Task | None = None,
    ) -> bytes:
        """Like :meth:`rsa`, for operands that are fetched, with ``load``, only once a queue has been chosen."""
        if length < 1:
            raise Failed("an RSA request needs a modulus", number=errno.EINVAL)
        return self._run(RsaAttempt(permissions or self.permissions, task, length, load, crt=crt, queue=queue))

    def cprb(self, request: CcaRequest, permissions: Permissions | None = None) -> CcaReply:
        """Send a CPRB to a CCA coprocessor. Refused as the ioctl is; a StatusError carries the caller's status."""
        reply = self.send_cprb(request, permissions)
        reply.check_room(request)
        return reply

    def send_cprb(
        self, request: CcaRequest, permissions: Permissions | None = None, *, task: Task | None = None
    ) -> CcaReply:
        """Like :meth:`cprb`, but without checking the caller's rooms."""
        request.check(self.buffer_size)
        return self._run(CcaAttempt(permissions or self.permissions, task, request, self.bus))

    def ep11(
        self, request: Ep11Request, permissions: Permissions | None = None, *, task: Task | None = None
    ) -> bytes:
        """Send an EP11 CPRB; returns the reply's CPRB. Refused as the ioctl is."""
        request.check(self.buffer_size)
        cprb = self._run(Ep11Attempt(permissions or self.permissions, task, request))
        if len(cprb) > request.room:
            raise no_room(len(cprb))
        return cprb

    def random(self, request: Callable[[int], bytes], task: Task | None = None) -> bytes:
        """Random bytes from any CCA queue; ``request`` makes the message for a domain. It is sent only once."""
        return self._run(RandomAttempt(task, request))

    def request_random(
        self, request: Callable[[int], bytes], done: Callable[[bytes], None], scan: int | None = None
    ) -> None:
        """Ask for random bytes without waiting; ``done`` gets them later, or nothing (hardware.md 3.8).

        Refused (ENODEV) if there is no queue to ask, after a scan that finds another configuration too. ``scan`` is
        the number of the bus scan that found the queue to ask, if one did.
        """
        attempt = RandomAttempt(None, request)
        with self.bus.kernel:
            try:
                queue, release = self._dispatcher.take(attempt)
            except Refused:
                if not self.bus.scanner.scan(scan):
                    raise
                queue, release = self._dispatcher.take(attempt)

            def finished(message: ApMessage) -> None:
                release()
                try:
                    data = b"" if message.rc else random_data(Reply(message.reply, message.behind))
                except ReplyError:
                    data = b""
                done(data)

            queue.send(ApMessage(request(queue.apqn.domain), finished))

    def send(self, queue: ApQueue, message: bytes, *, special: bool = False) -> bytes:
        """Send one message through one queue, wait, and return the reply. Refused with the errno of the queue."""
        return exchange(queue, message, special=special).data

    @property
    def permissions(self) -> Permissions:
        """The permissions of the kernel itself."""
        return Permissions.of_the_bus(self.bus.apmask, self.bus.aqmask)

    @property
    def buffer_size(self) -> int:
        """Bytes of the longest message."""
        return max((card.max_message_size for card in self.bus.cards.values()), default=SMALLEST_BUFFER)

    # how

    def _run(self, attempt: Attempt[T]) -> T:
        """Send until a card answers; where no queue fits, once more after a scan that finds another configuration."""
        try:
            return self._repeat(attempt)
        except Refused as refused:
            if refused.errno != errno.ENODEV:
                raise
            with self.bus.kernel:
                if not self.bus.scanner.scan(attempt.scan):
                    raise
        return self._repeat(attempt)

    def _repeat(self, attempt: Attempt[T]) -> T:
        """Retry on EAGAIN, as often as the request may be sent."""
        while True:
            try:
                return self._send(attempt)
            except ReplyError as error:
                if error.errno != errno.EAGAIN:
                    raise
                attempt.tries += 1
                attempt.scan = error.scan
                if attempt.tries >= attempt.limit:
                    raise _given_up(error) from error

    def _send(self, attempt: Attempt[T]) -> T:
        """Choose a queue and send once. Raises ReplyError, Failed (ENODEV) if there is no queue."""
        attempt.admit()
        with self.bus.kernel, self._dispatcher.queue(attempt) as queue:
            try:
                return attempt.send(queue)
            except ReplyError as error:
                if error.offline:
                    self.bus.log.error(f"zcrypt: Crypto dev={queue.apqn} {error.offline} rc=EAGAIN")
                    queue.retire()
                attempt.failed_at(queue)
                raise


def _given_up(error: ReplyError) -> ReplyError:
    """EIO after the last failed try; the caller sees the status of that try."""
    given_up = ReplyError(errno.EIO, f"the request kept failing: {error}")
    return StatusError(given_up, error.status) if isinstance(error, StatusError) else given_up
