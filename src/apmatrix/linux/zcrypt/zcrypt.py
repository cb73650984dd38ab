"""zcrypt: requests of programs in a Linux system, sent to the cards it has (hardware.md 5.2).

Every call waits for the card's answer. Errors are Refused with the errno that the ioctl gives.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, TypeVar

from apmatrix.arch import Mode
from apmatrix.linux.ap.message import ApMessage
from apmatrix.linux.errors import Failed, Refused
from apmatrix.linux.zcrypt import rsa
from apmatrix.linux.zcrypt.cex4 import mode_of, set_queue_online
from apmatrix.linux.zcrypt.cprb import (
    ANY,
    ANY_CARD,
    CcaReply,
    CcaRequest,
    Ep11Request,
    StatusError,
    cca_reply,
    ep11_reply,
)
from apmatrix.linux.zcrypt.dispatch import Dispatcher, Wanted, takes_modulus
from apmatrix.linux.zcrypt.perms import Permissions
from apmatrix.linux.zcrypt.replies import ReplyError, accelerator_result, cca_result
from apmatrix.linux.zcrypt.speeds import Work, rsa_work

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.linux.ap import ApQueue
    from apmatrix.linux.system import LinuxSystem

T = TypeVar("T")

TRIES = 10
"""How often a request that a card could not do is sent before it ends with EIO."""


class Zcrypt:
    """The crypto of a Linux system."""

    def __init__(self, system: LinuxSystem) -> None:
        self._system = system
        self._dispatcher = Dispatcher(system.ap)
        self._kernel_permissions = Permissions.everything()

    # the public requests

    def rsa(
        self, request: rsa.RsaRequest, permissions: Permissions | None = None, *, queue: str | None = None
    ) -> bytes:
        """Raw RSA; the result has the length of the modulus. ``queue`` (``05.0004``) names the only one to use.

        Refused: EINVAL for operands that do not fit or that the card refuses, ENODEV where no queue can do it, EIO
        after ten vain tries.
        """
        request.check()
        wanted = self._wanted(
            rsa_work(request.length, crt=request.crt),
            permissions,
            card=lambda card: takes_modulus(card, request.length),
            queue=lambda found: queue in (None, found.name),
        )

        def once(found: ApQueue) -> bytes:
            mode = mode_of(found.card) or Mode.CCA
            reply = self.send(found, rsa.build(request, mode, found.apqn.domain))
            take = accelerator_result if mode is Mode.ACCELERATOR else cca_result
            return take(reply, request.length)

        return self._try(wanted, once)

    def cprb(self, request: CcaRequest, permissions: Permissions | None = None) -> CcaReply:
        """Send a CPRB to a CCA coprocessor. Refused as the ioctl; a StatusError brings the caller's status."""
        request.check()
        domain = request.cprbx.domain
        self._check_administration(request, permissions, domain)
        carrier = self._carrier(domain)
        wanted = self._wanted(
            Work.SECURE_KEY,
            permissions,
            card=lambda card: mode_of(card) is Mode.CCA and request.card in (ANY_CARD, card.number),
            queue=lambda queue: carrier in (ANY, queue.apqn.domain),
        )

        def once(queue: ApQueue) -> CcaReply:
            message = request.message(queue.apqn.domain, queue.card.max_message_size)
            return cca_reply(self.send(queue, message, special=request.special), request)

        return self._try(wanted, once, patient=not request.administrative)

    def ep11(self, request: Ep11Request, permissions: Permissions | None = None) -> bytes:
        """Send an EP11 CPRB; the reply's CPRB. Refused as the ioctl."""
        request.check()
        if request.administrative and permissions is not None and not permissions.default:
            self._check_domain(permissions, request.header.target)
        wanted = self._wanted(
            Work.SECURE_KEY,
            permissions,
            card=lambda card: mode_of(card) is Mode.EP11,
            queue=lambda queue: request.wants(queue.card.number, queue.apqn.domain),
        )

        def once(queue: ApQueue) -> bytes:
            message = request.message(queue.apqn.domain, queue.card.max_message_size)
            return ep11_reply(self.send(queue, message, special=request.special), request)

        return self._try(wanted, once, patient=not request.administrative)

    def send(self, queue: ApQueue, message: bytes, *, special: bool = False) -> bytes:
        """Send one message through one queue and wait; the reply. Refused with the errno of the queue."""
        kernel = self._system.kernel
        request = ApMessage(message, lambda _: kernel.wake(), special=special)
        with kernel:
            queue.send(request)
            kernel.wait_until(lambda: request.rc is not None)
        if request.rc:
            number = -request.rc
            raise ReplyError(number, f"queue {queue.apqn} gave up the request: {errno.errorcode[number]}")
        return request.reply

    # how

    def _wanted(
        self,
        work: Work,
        permissions: Permissions | None,
        card: Callable[..., bool],
        queue: Callable[[ApQueue], bool],
    ) -> Wanted:
        return Wanted(work, card, queue, permissions or self._kernel_permissions)

    def _try(self, wanted: Wanted, once: Callable[[ApQueue], T], *, patient: bool = True) -> T:
        """Send until a card answers: EAGAIN is tried again, a missing queue once more after a scan."""
        try:
            return self._repeat(wanted, once, patient=patient)
        except Refused as refused:
            if refused.errno != errno.ENODEV:
                raise
        self._system.scan()
        return self._repeat(wanted, once, patient=patient)

    def _repeat(self, wanted: Wanted, once: Callable[[ApQueue], T], *, patient: bool) -> T:
        kernel = self._system.kernel
        for _ in range(TRIES if patient else 1):
            with kernel, self._dispatcher.queue(wanted) as queue:
                try:
                    return once(queue)
                except ReplyError as error:
                    self._note(queue, error)
                    if error.errno != errno.EAGAIN:
                        raise
                    wanted.last, last = queue, error
        status = last.status if isinstance(last, StatusError) else 0
        raise StatusError(errno.EIO, f"the request failed again and again: {last}", status)

    def _note(self, queue: ApQueue, error: ReplyError) -> None:
        """Take a queue with nonsensical answers out of service, as the kernel does."""
        if error.offline:
            self._system.log.error(f"zcrypt: Crypto dev={queue.apqn} {error.offline.why} => online=0 rc=EAGAIN")
            set_queue_online(queue, False)

    def _carrier(self, domain: int) -> int:
        """The domain of the queue that a request for ``domain`` goes through: any for a control-only domain."""
        info = self._system.ap.info
        control_only = domain <= 0xFF and not self._system.ap.usage_domain(domain) and domain in info.adm
        return ANY if control_only else domain

    def _check_administration(self, request: CcaRequest, permissions: Permissions | None, domain: int) -> None:
        """Only extra nodes ask (5.2)."""
        if permissions is None or permissions.default or domain > 0xFF:
            return
        if request.administrative:
            self._check_domain(permissions, domain)
        elif not request.known:
            raise Failed("this kind of CPRB is not known", number=errno.EOPNOTSUPP)

    @staticmethod
    def _check_domain(permissions: Permissions, domain: int) -> None:
        if domain <= 0xFF and domain not in permissions.administered:
            raise Failed(f"domain {domain} may not be administered through this node", number=errno.ENODEV)
