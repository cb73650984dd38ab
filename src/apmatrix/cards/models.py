"""The firmware of each kind of card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import Mode
from apmatrix.cards.accelerator import Accelerator
from apmatrix.cards.cca import CcaFirmware
from apmatrix.cards.ep11 import Ep11Firmware

if TYPE_CHECKING:
    from apmatrix.arch import CardFunctions, CardType
    from apmatrix.cards.context import CardContext
    from apmatrix.cards.firmware import Firmware


def firmware_for(card_type: CardType, functions: CardFunctions, card: CardContext) -> Firmware:
    """Fresh firmware for one adapter of this type with these facility bits; only coprocessors have a context."""
    match card_type.mode:
        case Mode.ACCELERATOR:
            return Accelerator(functions)
        case Mode.CCA:
            return CcaFirmware(card)
        case Mode.EP11:
            return Ep11Firmware(card)
