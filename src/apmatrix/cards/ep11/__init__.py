"""The EP11 coprocessor."""

from apmatrix.cards.ep11.firmware import Ep11Firmware

__all__ = ["Ep11Firmware"]
