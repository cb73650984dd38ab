"""The crypto control block (CRYCB) of a SIE level and its formats (KVM-1 to KVM-3, hardware.md 7.1)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from apmatrix.arch.layout import Layout, octets
from apmatrix.arch.mask import Mask
from apmatrix.arch.matrix import FULL_MATRIX, Matrix

WITHOUT_APXA: Final = Matrix(Mask.up_to(63), Mask.up_to(15), Mask.up_to(15))
"""The adapters and domains that exist without extended addressing: 0-63 and 0-15 (hardware.md 1.1)."""


class CrycbFormat(IntEnum):
    """The two low bits of the CRYCB designation."""

    FORMAT_0 = 0  # neither MSA extension 3 nor APXA
    FORMAT_1 = 1  # MSA extension 3 only
    FORMAT_2 = 3  # both

    @property
    def size(self) -> int:
        """Bytes that must lie in one page when a nested guest is entered (KVM-43)."""
        return {CrycbFormat.FORMAT_0: 32, CrycbFormat.FORMAT_1: 128, CrycbFormat.FORMAT_2: 256}[self]

    @property
    def limits(self) -> Matrix:
        """The adapters and domains that the format has room for: 64 and 16, or all."""
        return FULL_MATRIX if self is CrycbFormat.FORMAT_2 else WITHOUT_APXA


def _left(bits: int) -> int:
    """Shift that moves a mask of ``bits`` bits to the left end of 256."""
    return 256 - bits


class ControlBlock(Layout, size=256):
    """CRYCB contents. Formats 0 and 1 use the APCB at 00, format 2 the one at 80."""

    apm0 = octets(0x00, 8)
    aqm0 = octets(0x08, 8)
    adm0 = octets(0x10, 8)
    dea_wrapping = octets(0x48, 24)
    aes_wrapping = octets(0x60, 32)
    apm1 = octets(0x80, 32, Mask)
    aqm1 = octets(0xA0, 32, Mask)
    adm1 = octets(0xC0, 32, Mask)

    @classmethod
    def of(cls, form: CrycbFormat, matrix: Matrix) -> ControlBlock:
        """A block that holds ``matrix`` as KVM writes it (KVM-10): what a format has no room for is lost."""
        if form is CrycbFormat.FORMAT_2:
            return cls(apm1=matrix.apm, aqm1=matrix.aqm, adm1=matrix.adm)
        kept = matrix & form.limits
        return cls(
            apm0=kept.apm.value >> _left(64),
            aqm0=kept.aqm.value >> _left(64),
            adm0=kept.adm.value >> _left(64),
        )

    def matrix(self, form: CrycbFormat) -> Matrix:
        """The masks that apply under ``form``."""
        if form is CrycbFormat.FORMAT_2:
            return Matrix(self.apm1, self.aqm1, self.adm1)
        words = (self.apm0, self.aqm0, self.adm0)
        return Matrix(*(Mask(word << _left(64)) for word in words)) & form.limits
