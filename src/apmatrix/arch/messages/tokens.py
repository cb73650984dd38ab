"""PKA key tokens with RSA keys, as Linux puts them into requests: a header and sections (hardware.md 3.7)."""

from __future__ import annotations

from typing import Final

from apmatrix.arch.layout import Layout, constant, octets, text

EXTERNAL: Final = 0x1E
"""Token type of keys that no master key wraps."""

INTERNAL: Final = 0x1F
"""Token type of keys under a master key."""

RSA_PUBLIC: Final = 0x04
RSA_PRIVATE_CRT: Final = 0x08
"""Ids of the sections of RSA keys."""

CLEAR_KEY: Final = 0x40
"""Key format of a private key in the clear."""


class PkaTokenHeader(Layout, size=8):
    """The header of a token; ``length`` counts the whole token."""

    token_type = octets(0, 1)
    length = octets(2, 2)


class SectionHeader(Layout, size=4):
    """The start of every section; ``length`` counts the whole section."""

    section = octets(0, 1)
    length = octets(2, 2)


class RsaPublicSection(Layout, size=12):
    """The public key section; exponent and modulus follow."""

    section = constant(octets(0, 1), RSA_PUBLIC)
    length = octets(2, 2)
    exponent_length = octets(6, 2)
    modulus_bits = octets(8, 2)
    modulus_length = octets(10, 2)


class RsaPrivateSection(Layout, size=132):
    """The private key section in CRT form; p, q, dp, dq, u, padding and a modulus of FFs follow."""

    section = constant(octets(0, 1), RSA_PRIVATE_CRT)
    length = octets(2, 2)
    key_format = octets(28, 1)
    use_flags = octets(50, 4)
    p_length = octets(54, 2)
    q_length = octets(56, 2)
    dp_length = octets(58, 2)
    dq_length = octets(60, 2)
    u_length = octets(62, 2)
    modulus_length = octets(64, 2)
    pad_length = octets(70, 2)
    pattern = text(76, 16)
    object_key = text(92, 32)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Bytes of p, q, dp, dq and u."""
        return (self.p_length, self.q_length, self.dp_length, self.dq_length, self.u_length)
