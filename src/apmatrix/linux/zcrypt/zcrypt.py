"""zcrypt: requests of programs in a Linux system, sent to the cards it has (hardware.md 5.2).

Every call waits for the card's answer. Errors are Refused with the errno that the ioctl gives.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, TypeVar

from apmatrix.arch import ALL_BITS, Mode
from apmatrix.linux.ap.message import ApMessage
from apmatrix.linux.zcrypt.cex4 import mode_of, retire_queue
from apmatrix.linux.zcrypt.cprb import (
    ANY,
    ANY_CARD,
    CcaReply,
    CcaRequest,
    Ep11Request,
    StatusError,
    cca_reply,
    ep11_reply,
    no_room,
)
from apmatrix.linux.zcrypt.dispatch import Dispatcher, Wanted, takes_modulus
from apmatrix.linux.zcrypt.perms import Permissions
from apmatrix.linux.zcrypt.replies import Reply, ReplyError, accelerator_result, cca_result, random_data
from apmatrix.linux.zcrypt.rsa import RsaRequest, build
from apmatrix.linux.zcrypt.speeds import Work, cca_weight, ep11_weight, rating, rsa_work
from apmatrix.rules.refusals import Failed, Interrupted, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.linux.ap import ApCard, ApQueue
    from apmatrix.linux.core import Task
    from apmatrix.linux.system import LinuxSystem

T = TypeVar("T")

TRIES: Final = 10
"""How often a request that a card could not do is sent before it ends with EIO."""

SMALLEST_BUFFER: Final = 12288
"""Bytes of Linux' message buffers, if no card takes longer messages."""

_LAST_DOMAIN: Final = 0xFF


def _weight(work: Work, factor: int = 1) -> Callable[[ApCard], int]:
    """The cost of a request on a card."""

    def weight(card: ApCard) -> int:
        mode = mode_of(card)
        return factor * rating(card.hardware_type, mode, work) if mode else 0

    return weight


class Zcrypt:
    """The crypto of a Linux system."""

    def __init__(self, system: LinuxSystem) -> None:
        self._system = system
        self._dispatcher = Dispatcher(system.ap)

    # the public requests

    def rsa(self, request: RsaRequest, permissions: Permissions | None = None, *, queue: str | None = None) -> bytes:
        """Raw RSA; the result has the length of the modulus. ``queue`` (``05.0004``) names the only one to use.

        Refused: EINVAL for operands that do not fit or that the card refuses, ENODEV where no queue can do it, EIO
        after ten vain tries.
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
        """The same for operands that are fetched, with ``load``, only when a queue has been chosen."""
        if length < 1:
            raise Failed("an RSA request needs a modulus", number=errno.EINVAL)
        wanted = Wanted(
            card=lambda card: takes_modulus(card, length),
            queue=lambda found: queue in (None, found.name),
            weight=_weight(rsa_work(length, crt=crt)),
            permissions=permissions or self.permissions,
        )

        def once(found: ApQueue) -> bytes:
            mode = mode_of(found.card) or Mode.CCA
            reply = self._send(found, build(load(), mode, found.apqn.domain), task=task)
            take = accelerator_result if mode is Mode.ACCELERATOR else cca_result
            return take(reply, length)

        return self._try(wanted, once)

    def cprb(self, request: CcaRequest, permissions: Permissions | None = None) -> CcaReply:
        """Send a CPRB to a CCA coprocessor. Refused as the ioctl; a StatusError brings the caller's status."""
        reply = self.send_cprb(request, permissions)
        reply.check_room(request)
        return reply

    def send_cprb(
        self, request: CcaRequest, permissions: Permissions | None = None, *, task: Task | None = None
    ) -> CcaReply:
        """The same without a look at the caller's rooms."""
        request.check(self.buffer_size)
        domain = request.cprbx.domain
        carrier = self._carrier(domain)
        wanted = Wanted(
            card=lambda card: (
                mode_of(card) is Mode.CCA
                and request.card in (ANY_CARD, card.number)
                and request.size <= card.max_message_size
            ),
            queue=lambda queue: carrier in (ANY, queue.apqn.domain),
            weight=_weight(Work.SECURE_KEY, cca_weight(request.verb)),
            permissions=permissions or self.permissions,
            admit=lambda: self._check_administration(request, permissions),
        )

        def once(queue: ApQueue) -> CcaReply:
            message = request.message(queue.apqn.domain, queue.card.max_message_size)
            return cca_reply(self._send(queue, message, special=request.special, task=task))

        # Linux 7.2 forgets which queue it tried last, so a CPRB's next try may go to the same.
        return self._try(wanted, once, patient=not request.administrative, forgetful=True)

    def ep11(
        self, request: Ep11Request, permissions: Permissions | None = None, *, task: Task | None = None
    ) -> bytes:
        """Send an EP11 CPRB; the reply's CPRB. Refused as the ioctl."""
        request.check(self.buffer_size)
        wanted = Wanted(
            card=lambda card: mode_of(card) is Mode.EP11 and request.size <= card.max_message_size,
            queue=lambda queue: request.wants(queue.card.number, queue.apqn.domain),
            weight=_weight(Work.SECURE_KEY, ep11_weight(request.function)),
            permissions=permissions or self.permissions,
            admit=lambda: self._check_ep11_administration(request, permissions),
        )

        def once(queue: ApQueue) -> bytes:
            message = request.message(queue.apqn.domain, queue.card.max_message_size)
            return ep11_reply(self._send(queue, message, special=request.special, task=task))

        cprb = self._try(wanted, once, patient=not request.administrative)
        if len(cprb) > request.room:
            raise no_room(len(cprb))
        return cprb

    def random(self, request: Callable[[int], bytes], task: Task | None = None) -> bytes:
        """Random bytes from any CCA queue; ``request`` makes the message for a domain. It is sent only once."""
        wanted = Wanted(
            card=lambda card: mode_of(card) is Mode.CCA,
            queue=lambda _: True,
            weight=_weight(Work.RANDOM),
            permissions=Permissions.of_the_bus(ALL_BITS, ALL_BITS),
        )

        def once(queue: ApQueue) -> bytes:
            return random_data(self._send(queue, request(queue.apqn.domain), task=task))

        return self._try(wanted, once, patient=False)

    def send(self, queue: ApQueue, message: bytes, *, special: bool = False) -> bytes:
        """Send one message through one queue and wait; the reply. Refused with the errno of the queue."""
        return self._send(queue, message, special=special).data

    @property
    def permissions(self) -> Permissions:
        """Those of the kernel itself."""
        return Permissions.of_the_bus(self._system.ap.apmask, self._system.ap.aqmask)

    @property
    def buffer_size(self) -> int:
        """Bytes of the longest message."""
        return max((card.max_message_size for card in self._system.ap.cards.values()), default=SMALLEST_BUFFER)

    # how

    def _send(self, queue: ApQueue, message: bytes, *, special: bool = False, task: Task | None = None) -> Reply:
        kernel = self._system.kernel
        request = ApMessage(message, lambda _: kernel.wake(), special=special, task_id=task.pid if task else 1)
        with kernel:
            queue.send(request)
            kernel.wait_until(lambda: request.rc is not None or (task is not None and task.signalled))
            if request.rc is None:
                queue.cancel(request)
                raise Interrupted(f"a signal ended the wait for queue {queue.apqn}")
        if request.rc:
            number = -request.rc
            raise ReplyError(number, f"queue {queue.apqn} gave up the request: {errno.errorcode[number]}")
        return Reply(request.reply, request.behind)

    def _try(
        self, wanted: Wanted, once: Callable[[ApQueue], T], *, patient: bool = True, forgetful: bool = False
    ) -> T:
        """Send until a card answers: EAGAIN is tried again, a missing queue once more after a scan."""
        failures: list[ReplyError] = []
        limit = TRIES if patient else 1

        def repeat() -> T:
            while True:
                try:
                    return self._attempt(wanted, once, forgetful=forgetful)
                except ReplyError as error:
                    if error.errno != errno.EAGAIN:
                        raise
                    failures.append(error)
                    if len(failures) >= limit:
                        raise _given_up(error) from error

        try:
            return repeat()
        except Refused as refused:
            if refused.errno != errno.ENODEV:
                raise
        self._system.scan()
        return repeat()

    def _attempt(self, wanted: Wanted, once: Callable[[ApQueue], T], *, forgetful: bool) -> T:
        """Choose a queue and send. Raises ReplyError, Failed (ENODEV) if there is no queue."""
        wanted.admit()
        with self._system.kernel, self._dispatcher.queue(wanted) as queue:
            try:
                return once(queue)
            except ReplyError as error:
                if error.offline:
                    self._system.log.error(f"zcrypt: Crypto dev={queue.apqn} {error.offline} rc=EAGAIN")
                    retire_queue(queue)
                # The kernel remembers the queue by a number and takes 0, queue 00.0000, for none.
                wanted.last = None if forgetful or queue.apqn == (0, 0) else queue
                raise

    def _carrier(self, domain: int) -> int:
        """The domain of the queue that a request for ``domain`` goes through: any for a control-only domain."""
        info = self._system.ap.info
        control_only = domain <= _LAST_DOMAIN and not self._system.ap.usage_domain(domain) and domain in info.adm
        return ANY if control_only else domain

    def _check_administration(self, request: CcaRequest, permissions: Permissions | None) -> None:
        """Only extra nodes ask (5.2)."""
        domain = request.cprbx.domain
        if permissions is None or permissions.default or domain > _LAST_DOMAIN:
            return
        if request.administrative:
            self._check_domain(permissions, domain)
        elif not request.known:
            raise Failed("this kind of CPRB is not known", number=errno.EOPNOTSUPP)

    def _check_ep11_administration(self, request: Ep11Request, permissions: Permissions | None) -> None:
        if request.administrative and permissions is not None and not permissions.default:
            self._check_domain(permissions, request.header.target)

    @staticmethod
    def _check_domain(permissions: Permissions, domain: int) -> None:
        if domain <= _LAST_DOMAIN and domain not in permissions.administered:
            raise Failed(f"domain {domain} may not be administered through this node", number=errno.ENODEV)


def _given_up(error: ReplyError) -> ReplyError:
    """EIO after the last vain try; the caller sees the status of that try."""
    given_up = ReplyError(errno.EIO, f"the request failed again and again: {error}")
    return StatusError(given_up, error.status) if isinstance(error, StatusError) else given_up
