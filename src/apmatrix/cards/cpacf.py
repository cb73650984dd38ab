"""Protected keys: keys under the wrapping key of the processors (hardware.md 4.4).

The CPU and the cards of a machine share it; an emulated PCKMO must use the machine's, or keys that a card has
unwrapped for CPACF are refused there.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from apmatrix.cards.errors import CardError

PATTERN_SIZE: Final = 32
"""Bytes of the wrapping key's verification pattern, which follows every protected key."""

_TWEAK: Final = bytes(16)
_SHORTEST: Final = 16  # what ciphertext stealing needs


class ProtectedKeyError(CardError):
    """A protected key is not under this wrapping key."""


class WrappingKey:
    """A machine's wrapping key: without ``secret`` a new random one, as after each initial load."""

    __slots__ = ("_cipher", "pattern")

    def __init__(self, secret: bytes | None = None) -> None:
        material = hashlib.sha512(b"apmatrix CPACF wrapping key" + (secret or os.urandom(32))).digest()
        self._cipher = Cipher(algorithms.AES(material), modes.XTS(_TWEAK))  # XTS keeps every length from 16 on
        self.pattern = hashlib.sha256(material).digest()

    def __repr__(self) -> str:
        return f"<WrappingKey {self.pattern.hex()[:16]}…>"

    def wrap(self, key: bytes) -> bytes:
        """``key`` (16 bytes or more) as a protected key: the same length, followed by the pattern."""
        return self._cipher.encryptor().update(key) + self.pattern

    def unwrap(self, protected: bytes) -> bytes:
        """The reverse of :meth:`wrap`; ProtectedKeyError if the pattern differs."""
        wrapped, pattern = protected[:-PATTERN_SIZE], protected[-PATTERN_SIZE:]
        if len(wrapped) < _SHORTEST or not hmac.compare_digest(pattern, self.pattern):
            raise ProtectedKeyError("the protected key is not under the wrapping key of this machine")
        return self._cipher.decryptor().update(wrapped)
