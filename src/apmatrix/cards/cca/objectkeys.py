"""Private keys under a master key: what the APKA and ASYM registers are for (hardware.md 6.1, 6.3).

A private key is encrypted with its own object protection key, which is encrypted with the master key. Where Linux
does not look, the format is this card's own. The clear fields around a key are authenticated with it, so that its
purpose cannot be changed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from apmatrix.cards.cca.errors import CcaError, Reason

if TYPE_CHECKING:
    from apmatrix.cards.masterkeys import MasterKey

WRAPPING_OVERHEAD: Final = 8
"""Bytes by which a wrapped object protection key is longer than the master key."""

_DIGEST_SIZE: Final = 32
_UNIT: Final = 8


def sealed_size(length: int) -> int:
    """Bytes of a sealed secret of ``length`` bytes."""
    return WRAPPING_OVERHEAD + _DIGEST_SIZE + length + -length % _UNIT


def make_object_key(master: MasterKey) -> tuple[bytes, bytes]:
    """A new object protection key of the master key's length, in the clear and wrapped."""
    key = os.urandom(len(master.key))
    return key, aes_key_wrap(master.key, key)


def seal(secret: bytes, bound: bytes, object_key: bytes) -> bytes:
    """``secret`` encrypted, valid only together with ``bound``."""
    padding = bytes(-len(secret) % _UNIT)
    return aes_key_wrap(object_key, hashlib.sha256(bound).digest() + secret + padding)


def unseal(sealed: bytes, bound: bytes, wrapped_key: bytes, master: MasterKey) -> bytes:
    """The secret and its padding; CcaError if anything was altered, or is under another master key.

    ``wrapped_key`` may be longer than it needs to be, with zeros at its end.
    """
    size = len(master.key) + WRAPPING_OVERHEAD
    if any(wrapped_key[size:]):
        raise CcaError(Reason.BAD_TOKEN)
    try:
        object_key = aes_key_unwrap(master.key, wrapped_key[:size])
        plain = aes_key_unwrap(object_key, sealed)
    except (InvalidUnwrap, ValueError):
        raise CcaError(Reason.BAD_TOKEN) from None
    if not hmac.compare_digest(plain[:_DIGEST_SIZE], hashlib.sha256(bound).digest()):
        raise CcaError(Reason.BAD_TOKEN)
    return plain[_DIGEST_SIZE:]
