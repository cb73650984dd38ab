"""The weight of a secure-key request, by its verb or function, when Linux chooses a queue (hardware.md 5.2, 9.1)."""

from __future__ import annotations

from typing import Final

LIGHT, MEDIUM, HEAVY = 10, 100, 500
"""The weights of secure-key requests, to be multiplied by the card's rating."""

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
