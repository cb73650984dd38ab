"""A timing model: cards as slow, relative to each other, as Linux ranks them (hardware.md 9.1).

It delays replies, and the time that the arithmetic itself takes is added: choose ``unit`` well above that.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from apmatrix.arch.speeds import Work, rating, rsa_work
from apmatrix.cards.filters import Filter, Handling
from apmatrix.cards.traffic import CRT, MODEXPO, RequestKind, request_kind

if TYPE_CHECKING:
    from apmatrix.cards.engine import Queue

DEFAULT_UNIT: Final = 50e-6
"""Seconds of one unit of Linux's speed index."""


def work_of(kind: RequestKind) -> Work:
    """The column of the speed table that a request belongs to."""
    if kind.verb in (MODEXPO, "PK", CRT, "PD"):
        return rsa_work(kind.size, crt=kind.verb in (CRT, "PD"))
    return Work.RANDOM if kind.verb == "RL" else Work.SECURE_KEY


class TimingModel(Filter):
    """Slows a card down: requests are served one after the other. Each adapter needs its own model."""

    def __init__(self, unit: float = DEFAULT_UNIT) -> None:
        self._unit = unit
        self._busy_until = float("-inf")
        self._lock = threading.Lock()

    def request(self, queue: Queue, handling: Handling) -> Handling:
        """Delay the reply until the card has served this request and those before it."""
        adapter = queue.adapter
        card, work = adapter.card_type, work_of(request_kind(handling.request.message))
        cost = rating(card.hardware_type, card.mode, work) * self._unit
        now = adapter.clock.now()
        with self._lock:
            self._busy_until = max(self._busy_until, now) + cost
            wait = self._busy_until - now
        return replace(handling, delay=handling.delay + wait)
