"""The EP11 coprocessor: its firmware, functions and key blobs."""

from apmatrix.cards.ep11.firmware import Ep11Firmware

__all__ = ["Ep11Firmware"]
