"""Elliptic curves as the verbs use them, whichever library computes: cryptography here, ecdsa in ``rarecurves``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature

if TYPE_CHECKING:
    from collections.abc import Mapping

HASHES: Final[Mapping[int, hashes.HashAlgorithm]] = {
    20: hashes.SHA1(),
    28: hashes.SHA224(),
    32: hashes.SHA256(),
    48: hashes.SHA384(),
    64: hashes.SHA512(),
}
"""The hashes whose digests can be signed, by length."""


class Signature(NamedTuple):
    """An ECDSA signature."""

    r: int
    s: int


class PublicKey(ABC):
    """A point of a curve."""

    @property
    @abstractmethod
    def point(self) -> bytes:
        """04 and both coordinates at full width."""

    @abstractmethod
    def verifies(self, digest: bytes, signature: Signature) -> bool:
        """True if the signature is one of the digest, whose length is in ``HASHES``."""


class PrivateKey(ABC):
    """A private key of a curve; never shown."""

    @property
    @abstractmethod
    def value(self) -> int:
        """The secret number."""

    @property
    @abstractmethod
    def public(self) -> PublicKey:
        """The public key that belongs to it."""

    @abstractmethod
    def exchange(self, other: PublicKey) -> bytes:
        """The x coordinate of this key times a point of the same curve, at full width."""

    @abstractmethod
    def sign(self, digest: bytes) -> Signature:
        """Sign a digest, whose length is in ``HASHES``."""

    def __repr__(self) -> str:
        return "<private key>"


class EllipticCurve(ABC):
    """A curve of one of the libraries."""

    @abstractmethod
    def generate(self) -> PrivateKey:
        """A random key."""

    @abstractmethod
    def private(self, value: int) -> PrivateKey:
        """The key of a secret number; ValueError if it is zero or not below the curve's order."""

    @abstractmethod
    def public(self, point: bytes) -> PublicKey:
        """The key of an uncompressed point; ValueError if it is not on the curve."""


class _Public(PublicKey):
    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self.key = key

    @property
    def point(self) -> bytes:
        size = (self.key.curve.key_size + 7) // 8
        numbers = self.key.public_numbers()
        return b"\x04" + numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big")

    def verifies(self, digest: bytes, signature: Signature) -> bool:
        try:
            self.key.verify(encode_dss_signature(*signature), digest, _prehashed(digest))
        except InvalidSignature:
            return False
        return True


class _Private(PrivateKey):
    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @property
    def value(self) -> int:
        return self._key.private_numbers().private_value

    @property
    def public(self) -> _Public:
        return _Public(self._key.public_key())

    def exchange(self, other: PublicKey) -> bytes:
        assert isinstance(other, _Public)
        return self._key.exchange(ec.ECDH(), other.key)

    def sign(self, digest: bytes) -> Signature:
        return Signature(*decode_dss_signature(self._key.sign(digest, _prehashed(digest))))


class KnownCurve(EllipticCurve):
    """A curve of cryptography."""

    def __init__(self, curve: ec.EllipticCurve) -> None:
        self._curve = curve

    def generate(self) -> PrivateKey:
        """A random key."""
        return _Private(ec.generate_private_key(self._curve))

    def private(self, value: int) -> PrivateKey:
        """The key of a secret number."""
        return _Private(ec.derive_private_key(value, self._curve))

    def public(self, point: bytes) -> PublicKey:
        """The key of an uncompressed point."""
        return _Public(ec.EllipticCurvePublicKey.from_encoded_point(self._curve, point))


def _prehashed(digest: bytes) -> ec.ECDSA:
    return ec.ECDSA(Prehashed(HASHES[len(digest)]))
