"""The CCA coprocessor: its firmware, verbs and key tokens."""

from apmatrix.cards.cca.firmware import CcaFirmware

__all__ = ["CcaFirmware"]
