"""A timing model: cards as slow, relative to each other, as Linux ranks them (hardware.md 9.1).

It delays replies, so what the arithmetic itself takes comes on top: choose ``unit`` well above that.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from apmatrix.arch import Mode
from apmatrix.cards.filters import Filter, Handling
from apmatrix.cards.traffic import CRT, MODEXPO, RequestKind, request_kind

if TYPE_CHECKING:
    from apmatrix.arch import CardType
    from apmatrix.cards.queue import Queue

DEFAULT_UNIT: Final = 50e-6
"""Seconds of one unit of Linux' speed index."""


class Speeds(NamedTuple):
    """Cost of one request in units: RSA by modulus up to 1024, 2048 and 4096 bits, the rest whatever the size."""

    modexpo: tuple[int, int, int] = (0, 0, 0)
    crt: tuple[int, int, int] = (0, 0, 0)
    random: int = 0
    secure_key: int = 0

    def cost(self, kind: RequestKind) -> int:
        """Units that a request of this kind takes."""
        column = (kind.size > 128) + (kind.size > 256)
        if kind.verb in (MODEXPO, "PK"):
            return self.modexpo[column]
        if kind.verb in (CRT, "PD"):
            return self.crt[column]
        return self.random if kind.verb == "RL" else self.secure_key


_NEWEST_ACCELERATOR: Final = Speeds((6, 8, 17), (15, 54, 362))
_NEWEST_CCA: Final = Speeds((14, 16, 26), (23, 64, 376), 23, 8)
_NEWEST_EP11: Final = Speeds(secure_key=8)

SPEEDS: Final = {
    (4, Mode.ACCELERATOR): Speeds((14, 19, 249), (42, 228, 1458)),
    (5, Mode.ACCELERATOR): Speeds((8, 9, 20), (18, 66, 458)),
    (6, Mode.ACCELERATOR): Speeds((6, 9, 20), (17, 65, 438)),
    (7, Mode.ACCELERATOR): _NEWEST_ACCELERATOR,
    (8, Mode.ACCELERATOR): _NEWEST_ACCELERATOR,
    (4, Mode.CCA): Speeds((59, 69, 308), (83, 278, 2204), 209, 40),
    (5, Mode.CCA): Speeds((24, 31, 50), (37, 90, 479), 27, 10),
    (6, Mode.CCA): Speeds((16, 20, 32), (27, 77, 455), 24, 9),
    (7, Mode.CCA): _NEWEST_CCA,
    (8, Mode.CCA): _NEWEST_CCA,
    (4, Mode.EP11): Speeds(secure_key=50),
    (5, Mode.EP11): Speeds(secure_key=10),
    (6, Mode.EP11): Speeds(secure_key=9),
    (7, Mode.EP11): _NEWEST_EP11,
    (8, Mode.EP11): _NEWEST_EP11,
}
"""By generation and mode."""


def speeds_of(card_type: CardType) -> Speeds:
    """What requests cost on such a card."""
    return SPEEDS[card_type.generation, card_type.mode]


class TimingModel(Filter):
    """Makes a card take its time: requests are served one after the other. Each adapter needs its own."""

    def __init__(self, unit: float = DEFAULT_UNIT) -> None:
        self._unit = unit
        self._busy_until = float("-inf")
        self._lock = threading.Lock()

    def request(self, queue: Queue, handling: Handling) -> Handling:
        """Delay the reply until the card has served this request and those before it."""
        adapter = queue.adapter
        cost = speeds_of(adapter.card_type).cost(request_kind(handling.request.message)) * self._unit
        now = adapter.clock.now()
        with self._lock:
            self._busy_until = max(self._busy_until, now) + cost
            wait = self._busy_until - now
        return replace(handling, delay=handling.delay + wait)
