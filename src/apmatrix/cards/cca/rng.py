"""RL: random numbers (hardware.md 3.8)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from apmatrix.cards.cca.verb import Result, VerbCall

if TYPE_CHECKING:
    from apmatrix.cards.cca.verb import Verbs

_MOST: Final = 8192
_UNIT: Final = 4


def generate(call: VerbCall) -> Result:
    """As many random bytes as the sender has room for, a multiple of four."""
    call.require(b"RANDOM")
    length = min(call.data_room, _MOST)
    return Result(data=os.urandom(length - length % _UNIT))


VERBS: Final[Verbs] = {b"RL": generate}
