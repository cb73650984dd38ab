"""Secure keys as Linux' pkey and zkey keep them (hardware.md 4.4, 4.5)."""

from __future__ import annotations

from typing import Final

from apmatrix.arch.layout import Layout, constant, octets

NON_CCA: Final = 0x00
"""Token type of keys that have no format of CCA."""

EP11_OVERLAY: Final = 0x03
"""Version of a header that lies over the session of an EP11 AES blob."""

EP11_IN_FRONT: Final = 0x06
"""Version of a header that is in front of an EP11 AES blob."""

EP11_PADDING: Final = 64
"""Zero bytes that zkey keeps after a blob with such a header over its session."""


class Ep11KeyHeader(Layout, size=16):
    """Linux' header of an EP11 key: ``length`` counts the key with it, ``bits`` is 0 if the size is not known."""

    token_type = constant(octets(0, 1), NON_CCA)
    length = octets(2, 2)
    version = octets(4, 1)
    bits = octets(6, 2)
