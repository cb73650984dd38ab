"""Types of Crypto Express adapters: CEX4A to CEX8P (hardware.md 2.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from apmatrix.arch.errors import BadText
from apmatrix.arch.info import CardFunctions, Mode

_FUNCTIONS: Final = {
    Mode.ACCELERATOR: CardFunctions(0x6A800000),
    Mode.CCA: CardFunctions(0x92800000),
    Mode.EP11: CardFunctions(0x06800000),
}
_LONG_MESSAGES: Final = 8
"""The first generation that takes messages of 24 KiB and, in CCA mode, filters commands itself."""

DEFAULT_DEPTH = 8
"""Queue depth of a card whose file entry has no ``depth``."""

_FIRST_GENERATION = 4
_FIRST_HARDWARE_TYPE = 10


@dataclass(frozen=True, slots=True)
class CardType:
    """A generation (4 to 8) and a mode: ``CEX8C``."""

    generation: int
    mode: Mode

    @classmethod
    def parse(cls, text: str) -> CardType:
        """Read ``CEX4A`` … ``CEX8P``; ValueError otherwise."""
        found = re.fullmatch(r"CEX([4-8])([ACP])", text)
        if not found:
            shown = repr(text if len(text) <= 40 else f"{text[:36]}...")
            meant = f"did you mean {', '.join(near)}?" if (near := _near(text)) else ""
            raise BadText(f"{shown} is not a card type: CEX4 to CEX8 followed by A, C or P, such as CEX8C", meant)
        return cls(int(found[1]), Mode(found[2]))

    @property
    def hardware_type(self) -> int:
        """The type number that TAPQ reports: 10 for CEX4 to 14 for CEX8."""
        return self.generation - _FIRST_GENERATION + _FIRST_HARDWARE_TYPE

    @property
    def functions(self) -> CardFunctions:
        """The facility bits that such a card has by default (hardware.md 2.2)."""
        filters = self.mode is Mode.CCA and self.generation >= _LONG_MESSAGES
        return _FUNCTIONS[self.mode].replace(stateless_filtering=filters)

    @property
    def message_limit(self) -> int:
        """The longest message that such a card takes by default, in units of 4 KiB (hardware.md 2.2)."""
        return 6 if self.generation >= _LONG_MESSAGES else 3

    def __str__(self) -> str:
        return f"CEX{self.generation}{self.mode.value}"


def _near(text: str) -> list[str]:
    """The types that a text may mean: ``cex8c``, ``CEX8``, and ``CEX8S``, IBM's name of the card in any mode."""
    found = re.fullmatch(r"(?:CEX|CRYPTOEXPRESS)([4-8])S?([ACP]?)", re.sub(r"[\s_-]", "", text[:40].upper()))
    return [f"CEX{found[1]}{mode}" for mode in found[2] or "ACP"] if found else []
