"""Choosing a queue for a request: by load and speed, among those that the caller may use (hardware.md 5.2)."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from apmatrix.rules.refusals import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apmatrix.linux.ap import ApBus, ApCard, ApQueue
    from apmatrix.linux.zcrypt.attempts import Attempt

AGAIN_CARD_PENALTY: Final = 1000
AGAIN_QUEUE_PENALTY: Final = 10000


@dataclass(slots=True)
class _Choice:
    """The best queue so far, and what it costs; ``load`` is what the request will count for while it is in flight."""

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
        """True if ``queue`` is cheaper than the chosen one; of equal ones, if it had fewer requests."""
        best = self.queue
        return best is None or (weight + queue.load, queue.total) < (self.weight + best.load, best.total)


class Dispatcher:
    """Picks the cheapest card, then its cheapest queue, and keeps track of the load."""

    def __init__(self, bus: ApBus) -> None:
        self._bus = bus

    @contextmanager
    def queue(self, attempt: Attempt[Any]) -> Iterator[ApQueue]:
        """The chosen queue, loaded with the request's weight; Failed (ENODEV) if none fits."""
        queue, release = self.take(attempt)
        try:
            yield queue
        finally:
            release()

    def take(self, attempt: Attempt[Any]) -> tuple[ApQueue, Callable[[], None]]:
        """Like :meth:`queue`, for requests that nothing waits for; the function takes the load off again."""
        choice = self._choose(attempt)
        best, load = choice.queue, choice.load
        if best is None:
            raise Failed(
                f"no queue of this system can take the request: {self._missing(attempt)}",
                remedy="look at lszcrypt",
                number=errno.ENODEV,
            )

        def add(load: int) -> None:
            best.load += load
            best.card.load += load

        add(load)
        return best, lambda: add(-load)

    def _choose(self, attempt: Attempt[Any]) -> _Choice:
        choice = _Choice()
        last = attempt.last
        for card in self._cards(attempt):
            weight = attempt.weight(card)
            choice.load = weight  # as in Linux: that of the card looked at last, whichever is chosen
            weight += AGAIN_CARD_PENALTY if last is not None and last.card is card else 0
            if not choice.prefers_card(card, weight):
                continue
            for queue in self._queues(card, attempt):
                cost = weight + (AGAIN_QUEUE_PENALTY if queue is last else 0)
                if choice.prefers_queue(queue, cost):
                    choice.queue, choice.weight = queue, cost
        return choice

    def _missing(self, attempt: Attempt[Any]) -> str:
        """The condition that no card or queue meets."""
        online = list(self._online())
        fitting = [card for card in online if attempt.takes_card(card)]
        if not online:
            return "none of its cards is online" if self._bus.cards else "it has no card"
        if not fitting:
            return f"it needs {attempt.needs}"
        if not list(self._cards(attempt)):
            return "the device node does not permit the adapters that could"
        return f"none of {', '.join(card.name for card in fitting)} has a queue for it that is online and permitted"

    def _online(self) -> Iterator[ApCard]:
        for card in self._bus.cards.values():
            if card.driver is not None and card.online and card.config and not card.chkstop:
                yield card

    def _cards(self, attempt: Attempt[Any]) -> Iterator[ApCard]:
        for card in self._online():
            if attempt.takes_card(card) and card.number in attempt.permissions.adapters:
                yield card

    @staticmethod
    def _queues(card: ApCard, attempt: Attempt[Any]) -> Iterator[ApQueue]:
        for queue in card.host_queues():
            usable = queue.online and queue.usable and attempt.takes_queue(queue)
            if usable and queue.apqn.domain in attempt.permissions.domains:
                yield queue
