"""Choosing a queue for a request: by load and speed, among those that the caller may use (hardware.md 5.2)."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apmatrix.arch import Mode
from apmatrix.linux.errors import Failed
from apmatrix.linux.zcrypt.cex4 import Cex4QueueDriver, mode_of
from apmatrix.linux.zcrypt.speeds import Work, rating

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apmatrix.linux.ap import ApBus, ApCard, ApQueue
    from apmatrix.linux.zcrypt.perms import Permissions

AGAIN_CARD_PENALTY = 1000
AGAIN_QUEUE_PENALTY = 10000
SMALLEST_COPROCESSOR_MODULUS = 16
LARGEST_MODULUS = 512
LARGEST_ACCELERATOR_MODULUS = 256


@dataclass(slots=True)
class Wanted:
    """What a request needs: a card that fits, a queue that fits, how heavy it is. ``last`` failed just now."""

    work: Work
    card: Callable[[ApCard], bool]
    queue: Callable[[ApQueue], bool]
    permissions: Permissions
    last: ApQueue | None = None


def takes_modulus(card: ApCard, length: int) -> bool:
    """True if a card does RSA with a modulus of ``length`` bytes (hardware.md 2.2)."""
    functions = card.info.functions
    mode = mode_of(card)
    if mode is Mode.ACCELERATOR:
        long = functions.modexpo_4k and functions.crt_4k
        return 1 <= length <= (LARGEST_MODULUS if long else LARGEST_ACCELERATOR_MODULUS)
    return mode is Mode.CCA and SMALLEST_COPROCESSOR_MODULUS <= length <= LARGEST_MODULUS


class Dispatcher:
    """Picks the cheapest card, then its cheapest queue, and keeps account of the load."""

    def __init__(self, bus: ApBus) -> None:
        self._bus = bus

    @contextmanager
    def queue(self, wanted: Wanted) -> Iterator[ApQueue]:
        """The chosen queue, loaded with the request's weight; Failed (ENODEV) if none fits."""
        best = self._choose(wanted)
        if best is None:
            raise Failed(
                "no queue of this system can take the request",
                remedy="look at lszcrypt: a card must be online and of a fitting mode",
                number=errno.ENODEV,
            )
        weight = self._weight(best.card, wanted)
        best.load += weight
        best.card.load += weight
        try:
            yield best
        finally:
            best.load -= weight
            best.card.load -= weight

    def _weight(self, card: ApCard, wanted: Wanted) -> int:
        mode = mode_of(card)
        return rating(card.hardware_type, mode, wanted.work) if mode else 0

    def _choose(self, wanted: Wanted) -> ApQueue | None:
        chosen: ApQueue | None = None
        lightest: tuple[int, int] | None = None
        queue_lightest: tuple[int, int] | None = None
        for card in self._cards(wanted):
            weight = self._weight(card, wanted)
            if wanted.last is not None and wanted.last.card is card:
                weight += AGAIN_CARD_PENALTY
            cost = (weight + card.load, card.total)
            if lightest is not None and cost >= lightest:
                continue
            for queue in self._queues(card, wanted):
                penalty = AGAIN_QUEUE_PENALTY if queue is wanted.last else 0
                queue_cost = (weight + penalty + queue.load, queue.total)
                if chosen is not None and queue_lightest is not None and queue_cost >= queue_lightest:
                    continue
                chosen, lightest, queue_lightest = queue, cost, queue_cost
        return chosen

    def _cards(self, wanted: Wanted) -> Iterator[ApCard]:
        for number, card in sorted(self._bus.cards.items()):
            online = card.driver is not None and card.online and card.config and not card.chkstop
            if online and number in wanted.permissions.adapters and wanted.card(card):
                yield card

    @staticmethod
    def _queues(card: ApCard, wanted: Wanted) -> Iterator[ApQueue]:
        for domain, queue in sorted(card.queues.items()):
            ours = isinstance(queue.driver, Cex4QueueDriver) and queue.online and queue.usable
            if ours and domain in wanted.permissions.domains and wanted.queue(queue):
                yield queue
