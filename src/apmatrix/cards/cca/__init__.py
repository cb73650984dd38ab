"""The CCA coprocessor."""

from apmatrix.cards.cca.firmware import CcaFirmware

__all__ = ["CcaFirmware"]
