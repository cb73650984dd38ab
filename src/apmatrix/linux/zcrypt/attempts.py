"""Attempts to have requests answered: RSA, CCA, EP11, random numbers (hardware.md 3.3, 5.2)."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from apmatrix.arch import ALL_BITS, Mode
from apmatrix.arch.speeds import Work, rating, rsa_work
from apmatrix.linux.zcrypt.cprb import (
    ANY,
    ANY_CARD,
    CcaReply,
    CcaRequest,
    Ep11Request,
    cca_reply,
    ep11_reply,
)
from apmatrix.linux.zcrypt.exchange import exchange
from apmatrix.linux.zcrypt.perms import Permissions
from apmatrix.linux.zcrypt.replies import accelerator_result, cca_result, random_data
from apmatrix.linux.zcrypt.rsa import RsaRequest, build
from apmatrix.linux.zcrypt.weights import cca_weight, ep11_weight
from apmatrix.rules.refusals import Failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.linux.ap import ApBus, ApCard, ApQueue
    from apmatrix.linux.core import Task

T = TypeVar("T")

TRIES: Final = 10
"""How often a request that cards fail to answer is sent before it ends with EIO."""

SMALLEST_COPROCESSOR_MODULUS: Final = 16
LARGEST_MODULUS: Final = 512
LARGEST_ACCELERATOR_MODULUS: Final = 256

_LAST_DOMAIN: Final = 0xFF


class Attempt(ABC, Generic[T]):
    """An attempt to have a request answered: what can take it, what it costs there, and how often it failed.

    ``permissions`` are those of the node that it came through, ``task`` is the program that waits for the answer.
    ``tries`` counts the failures; at ``limit`` the attempt ends. ``last`` is the queue of the last failure: the next
    try prefers others. ``scan`` is the number of the bus scan that ended the last try, if one did.
    """

    limit = TRIES

    def __init__(self, permissions: Permissions, task: Task | None, work: Work, factor: int = 1) -> None:
        """The cost on a card is its rating for ``work``, times ``factor``."""
        self.permissions = permissions
        self.task = task
        self.tries = 0
        self.last: ApQueue | None = None
        self.scan: int | None = None
        self._work = work
        self._factor = factor

    def admit(self) -> None:
        """Refuse what the node does not allow; called before each try."""

    @property
    @abstractmethod
    def needs(self) -> str:
        """The card that the request needs, in words."""

    @abstractmethod
    def takes_card(self, card: ApCard) -> bool:
        """True for a card that can process the request."""

    def takes_queue(self, queue: ApQueue) -> bool:  # noqa: ARG002 - the base takes any
        """True for a queue that the request may go to."""
        return True

    def weight(self, card: ApCard) -> int:
        """What the request costs on a card."""
        return self._factor * rating(card.hardware_type, card.mode, self._work) if card.mode else 0

    @abstractmethod
    def send(self, queue: ApQueue) -> T:
        """Send the request through a queue and wait for the answer. Raises ReplyError."""

    def failed_at(self, queue: ApQueue) -> None:
        """Remember a queue that failed to answer the request."""
        # The kernel remembers the queue by a number and takes 0, queue 00.0000, for none.
        self.last = None if queue.apqn == (0, 0) else queue


class RsaAttempt(Attempt[bytes]):
    """Raw RSA; the operands are fetched, with ``load``, only once a queue has been chosen."""

    def __init__(
        self,
        permissions: Permissions,
        task: Task | None,
        length: int,
        load: Callable[[], RsaRequest],
        *,
        crt: bool,
        queue: str | None,
    ) -> None:
        """``length`` is that of the modulus in bytes, ``queue`` names the only one to use."""
        super().__init__(permissions, task, rsa_work(length, crt=crt))
        self._length = length
        self._load = load
        self._queue = queue

    @property
    def needs(self) -> str:
        """The cards that do RSA, with their limits."""
        return (
            f"a card for a modulus of {8 * self._length} bits: accelerators take up to "
            f"{8 * LARGEST_ACCELERATOR_MODULUS}, or {8 * LARGEST_MODULUS} if they have that function, "
            f"CCA coprocessors {8 * SMALLEST_COPROCESSOR_MODULUS} to {8 * LARGEST_MODULUS}"
        )

    def takes_card(self, card: ApCard) -> bool:
        """True if the card does RSA with such a modulus (hardware.md 2.2)."""
        if card.mode is Mode.ACCELERATOR:
            functions = card.info.functions
            long = functions.modexpo_4k and functions.crt_4k
            return self._length <= (LARGEST_MODULUS if long else LARGEST_ACCELERATOR_MODULUS)
        return card.mode is Mode.CCA and SMALLEST_COPROCESSOR_MODULUS <= self._length <= LARGEST_MODULUS

    def takes_queue(self, queue: ApQueue) -> bool:
        """True for any queue, or for the one that was named."""
        return self._queue in (None, queue.name)

    def send(self, queue: ApQueue) -> bytes:
        """Send it in the form that the card understands."""
        mode = queue.card.mode or Mode.CCA
        with queue.bus.kernel.released():  # the operands are a program's
            operands = self._load()
        reply = exchange(queue, build(operands, mode, queue.apqn.domain), task=self.task)
        take = accelerator_result if mode is Mode.ACCELERATOR else cca_result
        return take(reply, self._length)


class CcaAttempt(Attempt[CcaReply]):
    """A CPRB to a CCA coprocessor."""

    def __init__(self, permissions: Permissions, task: Task | None, request: CcaRequest, bus: ApBus) -> None:
        super().__init__(permissions, task, Work.SECURE_KEY, cca_weight(request.verb))
        self.limit = 1 if request.administrative else TRIES
        self._request = request
        self._domain = _transporting_domain(request.cprbx.domain, bus)

    def admit(self) -> None:
        """Refuse a kind or an administered domain that an extra node does not allow (hardware.md 5.2)."""
        request, domain = self._request, self._request.cprbx.domain
        if self.permissions.default or domain > _LAST_DOMAIN:
            return
        if request.administrative:
            _check_administered(self.permissions, domain)
        elif not request.known:
            raise Failed("this kind of CPRB is not known", number=errno.EOPNOTSUPP)

    @property
    def needs(self) -> str:
        """The coprocessor that was named, or any."""
        which = "a CCA coprocessor" if self._request.card == ANY_CARD else f"CCA coprocessor {self._request.card}"
        return f"{which} that takes messages of {self._request.size} bytes"

    def takes_card(self, card: ApCard) -> bool:
        """True for the CCA coprocessor that was named, or any, if the message is not too long for it."""
        return (
            card.mode is Mode.CCA
            and self._request.card in (ANY_CARD, card.number)
            and self._request.size <= card.max_message_size
        )

    def takes_queue(self, queue: ApQueue) -> bool:
        """True for a queue of the domain."""
        return self._domain in (ANY, queue.apqn.domain)

    def send(self, queue: ApQueue) -> CcaReply:
        """Send it as a type 06 message."""
        message = self._request.message(queue.apqn.domain, queue.card.max_message_size)
        return cca_reply(exchange(queue, message, special=self._request.special, task=self.task))

    def failed_at(self, queue: ApQueue) -> None:
        """Linux 7.2 forgets which queue a CPRB was sent to, so its next try may go to the same."""


class Ep11Attempt(Attempt[bytes]):
    """A CPRB to an EP11 coprocessor."""

    def __init__(self, permissions: Permissions, task: Task | None, request: Ep11Request) -> None:
        super().__init__(permissions, task, Work.SECURE_KEY, ep11_weight(request.function))
        self.limit = 1 if request.administrative else TRIES
        self._request = request

    def admit(self) -> None:
        """Refuse an administered domain that an extra node does not allow (hardware.md 5.2)."""
        if self._request.administrative and not self.permissions.default:
            _check_administered(self.permissions, self._request.header.target)

    @property
    def needs(self) -> str:
        """Any EP11 coprocessor."""
        return f"an EP11 coprocessor that takes messages of {self._request.size} bytes"

    def takes_card(self, card: ApCard) -> bool:
        """True for an EP11 coprocessor, if the message is not too long for it."""
        return card.mode is Mode.EP11 and self._request.size <= card.max_message_size

    def takes_queue(self, queue: ApQueue) -> bool:
        """True for a target of the request."""
        return self._request.wants(queue.card.number, queue.apqn.domain)

    def send(self, queue: ApQueue) -> bytes:
        """Send it as a type 06 message."""
        message = self._request.message(queue.apqn.domain, queue.card.max_message_size)
        return ep11_reply(exchange(queue, message, special=self._request.special, task=self.task))


class RandomAttempt(Attempt[bytes]):
    """Random numbers for the kernel itself: from any CCA coprocessor, whatever the bus masks say, in one try."""

    limit = 1

    def __init__(self, task: Task | None, request: Callable[[int], bytes]) -> None:
        """``request`` makes the message for a domain."""
        super().__init__(Permissions.of_the_bus(ALL_BITS, ALL_BITS), task, Work.RANDOM)
        self._request = request

    @property
    def needs(self) -> str:
        """Any CCA coprocessor."""
        return "a CCA coprocessor"

    def takes_card(self, card: ApCard) -> bool:
        """True for CCA coprocessors."""
        return card.mode is Mode.CCA

    def send(self, queue: ApQueue) -> bytes:
        """Send it for the queue's domain."""
        return random_data(exchange(queue, self._request(queue.apqn.domain), task=self.task))


def _transporting_domain(domain: int, bus: ApBus) -> int:
    """The domain of the queue that a request for ``domain`` goes through: any for a control-only domain."""
    control_only = domain <= _LAST_DOMAIN and not bus.usage_domain(domain) and domain in bus.info.adm
    return ANY if control_only else domain


def _check_administered(permissions: Permissions, domain: int) -> None:
    if domain <= _LAST_DOMAIN and domain not in permissions.administered:
        raise Failed(f"domain {domain} may not be administered through this node", number=errno.ENODEV)
