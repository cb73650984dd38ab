"""Choosing a queue for a request: by load and speed, among those that the caller may use (hardware.md 5.2)."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from apmatrix.arch import Mode
from apmatrix.linux.zcrypt.cex4 import Cex4QueueDriver, mode_of
from apmatrix.rules.refusals import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apmatrix.linux.ap import ApBus, ApCard, ApQueue
    from apmatrix.linux.zcrypt.perms import Permissions

AGAIN_CARD_PENALTY: Final = 1000
AGAIN_QUEUE_PENALTY: Final = 10000
SMALLEST_COPROCESSOR_MODULUS: Final = 16
LARGEST_MODULUS: Final = 512
LARGEST_ACCELERATOR_MODULUS: Final = 256


@dataclass(slots=True)
class Wanted:
    """What a request needs: a card that fits, a queue that fits, permissions; ``weight`` is its cost on a card.

    ``admit`` refuses what the node does not allow, before each try. ``last`` is the queue that asked for another try;
    it and its card are penalized.
    """

    card: Callable[[ApCard], bool]
    queue: Callable[[ApQueue], bool]
    weight: Callable[[ApCard], int]
    permissions: Permissions
    admit: Callable[[], None] = lambda: None
    last: ApQueue | None = None


@dataclass(slots=True)
class _Choice:
    """The best queue so far, and what it costs; ``load`` is what the request will count for while it is under way."""

    queue: ApQueue | None = None
    weight: int = 0
    load: int = 0

    def prefers_card(self, card: ApCard, weight: int) -> bool:
        """True if ``card`` is cheaper than the chosen one; of equal ones, if it had fewer requests."""
        if self.queue is None:
            return True
        best = self.queue.card
        return (weight + card.load, card.total) < (self.weight + best.load, best.total)

    def prefers_queue(self, queue: ApQueue, weight: int) -> bool:
        """The same for queues."""
        best = self.queue
        return best is None or (weight + queue.load, queue.total) < (self.weight + best.load, best.total)


def takes_modulus(card: ApCard, length: int) -> bool:
    """True if a card does RSA with a modulus of ``length`` bytes (hardware.md 2.2)."""
    functions = card.info.functions
    mode = mode_of(card)
    if mode is Mode.ACCELERATOR:
        long = functions.modexpo_4k and functions.crt_4k
        return 1 <= length <= (LARGEST_MODULUS if long else LARGEST_ACCELERATOR_MODULUS)
    return mode is Mode.CCA and SMALLEST_COPROCESSOR_MODULUS <= length <= LARGEST_MODULUS


def host_queues(card: ApCard) -> list[ApQueue]:
    """The queues of ``card`` that the host's driver has."""
    return [queue for queue in card.queues.values() if isinstance(queue.driver, Cex4QueueDriver)]


class Dispatcher:
    """Picks the cheapest card, then its cheapest queue, and keeps account of the load."""

    def __init__(self, bus: ApBus) -> None:
        self._bus = bus

    @contextmanager
    def queue(self, wanted: Wanted) -> Iterator[ApQueue]:
        """The chosen queue, loaded with the request's weight; Failed (ENODEV) if none fits."""
        choice = self._choose(wanted)
        best = choice.queue
        if best is None:
            raise Failed(
                "no queue of this system can take the request",
                remedy="look at lszcrypt: a card must be online and of a fitting mode",
                number=errno.ENODEV,
            )
        best.load += choice.load
        best.card.load += choice.load
        try:
            yield best
        finally:
            best.load -= choice.load
            best.card.load -= choice.load

    def _choose(self, wanted: Wanted) -> _Choice:
        choice = _Choice()
        last = wanted.last
        for card in self._cards(wanted):
            weight = wanted.weight(card)
            choice.load = weight  # as in Linux: that of the card looked at last, whichever is chosen
            weight += AGAIN_CARD_PENALTY if last is not None and last.card is card else 0
            if not choice.prefers_card(card, weight):
                continue
            for queue in self._queues(card, wanted):
                cost = weight + (AGAIN_QUEUE_PENALTY if queue is last else 0)
                if choice.prefers_queue(queue, cost):
                    choice.queue, choice.weight = queue, cost
        return choice

    def _cards(self, wanted: Wanted) -> Iterator[ApCard]:
        for number, card in self._bus.cards.items():
            online = card.driver is not None and card.online and card.config and not card.chkstop
            if online and wanted.card(card) and number in wanted.permissions.adapters:
                yield card

    @staticmethod
    def _queues(card: ApCard, wanted: Wanted) -> Iterator[ApQueue]:
        for queue in host_queues(card):
            usable = queue.online and queue.usable and wanted.queue(queue)
            if usable and queue.apqn.domain in wanted.permissions.domains:
                yield queue
