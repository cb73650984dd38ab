"""How Linux rates the cards (hardware.md 9.1): the relative cost of one request, lower is faster."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from apmatrix.arch import Mode


class Work(IntEnum):
    """Kinds of requests, as far as speed goes."""

    MODEXPO_1K = 0
    MODEXPO_2K = 1
    MODEXPO_4K = 2
    CRT_1K = 3
    CRT_2K = 4
    CRT_4K = 5
    RANDOM = 6
    SECURE_KEY = 7


_ACCELERATOR: Final = {
    10: (14, 19, 249, 42, 228, 1458, 0, 0),
    11: (8, 9, 20, 18, 66, 458, 0, 0),
    12: (6, 9, 20, 17, 65, 438, 0, 0),
    13: (6, 8, 17, 15, 54, 362, 0, 0),
    14: (6, 8, 17, 15, 54, 362, 0, 0),
}
_CCA: Final = {
    10: (59, 69, 308, 83, 278, 2204, 209, 40),
    11: (24, 31, 50, 37, 90, 479, 27, 10),
    12: (16, 20, 32, 27, 77, 455, 24, 9),
    13: (14, 16, 26, 23, 64, 376, 23, 8),
    14: (14, 16, 26, 23, 64, 376, 23, 8),
}
_EP11: Final = {10: 50, 11: 10, 12: 9, 13: 8, 14: 8}


LIGHT, MEDIUM, HEAVY = 10, 100, 500
"""How much a secure-key request weighs, times the card's rating."""

_LIGHT_VERBS: Final = frozenset(b"AB AI AM CA CD CT CX DK EX FC FQ LG LK LQ OH PO PS PX SC SD SE SP".split())
_HEAVY_VERBS: Final = frozenset(
    b"AK CE CI CM HG HI HM HP HQ IT IX KC KD KE KG KH KI KN KP KR KT KX MP MS MV MX "
    b"PD PE PF PG PI PK PM RT SG SI SK SM SV SX TC TK VG".split()
)
_LIGHT_FUNCTIONS: Final = frozenset((1, 2, *range(36, 41)))
_HEAVY_FUNCTIONS: Final = frozenset((*range(17, 23), 26, *range(30, 36)))


def cca_weight(verb: bytes) -> int:
    """LIGHT, MEDIUM or HEAVY for a verb of CCA such as ``b"FQ"``."""
    return LIGHT if verb in _LIGHT_VERBS else HEAVY if verb in _HEAVY_VERBS else MEDIUM


def ep11_weight(function: int) -> int:
    """LIGHT, MEDIUM or HEAVY for a function of EP11."""
    return LIGHT if function in _LIGHT_FUNCTIONS else HEAVY if function in _HEAVY_FUNCTIONS else MEDIUM


def rating(hardware_type: int, mode: Mode, work: Work) -> int:
    """The cost of one request of this kind on a card of this type and mode."""
    if mode is Mode.EP11:
        return _EP11[hardware_type]
    return (_ACCELERATOR if mode is Mode.ACCELERATOR else _CCA)[hardware_type][work]


def rsa_work(length: int, *, crt: bool) -> Work:
    """The kind of an RSA request with a modulus of ``length`` bytes."""
    size = 0 if length <= 128 else 1 if length <= 256 else 2
    return Work((Work.CRT_1K if crt else Work.MODEXPO_1K) + size)
