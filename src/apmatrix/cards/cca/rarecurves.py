"""The Brainpool curves that cryptography does not have, by the library ecdsa.

Loaded when one of them is used. The library is written in Python: slow, and its time depends on the keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ecdsa import ECDH, BadSignatureError, SigningKey, VerifyingKey, curves
from ecdsa.errors import MalformedPointError

from apmatrix.cards.cca.ellipticcurves import EllipticCurve, PrivateKey, PublicKey, Signature

if TYPE_CHECKING:
    from ecdsa.curves import Curve


class _RarePublic(PublicKey):
    def __init__(self, key: VerifyingKey) -> None:
        self.key = key

    @property
    def point(self) -> bytes:
        return bytes(self.key.to_string("uncompressed"))

    def verifies(self, digest: bytes, signature: Signature) -> bool:
        try:
            # The decoder has nothing to decode, and the numbers need not have the width of a signature.
            self.key.verify_digest(signature, digest, lambda numbers, _order: numbers, allow_truncate=True)
        except BadSignatureError:
            return False
        return True


class _RarePrivate(PrivateKey):
    def __init__(self, key: SigningKey) -> None:
        self._key = key

    @property
    def value(self) -> int:
        return int(self._key.privkey.secret_multiplier)

    @property
    def public(self) -> _RarePublic:
        return _RarePublic(self._key.verifying_key)

    def exchange(self, other: PublicKey) -> bytes:
        assert isinstance(other, _RarePublic)
        return bytes(ECDH(self._key.curve, self._key, other.key).generate_sharedsecret_bytes())

    def sign(self, digest: bytes) -> Signature:
        numbers = self._key.sign_digest(digest, sigencode=lambda r, s, _order: (r, s), allow_truncate=True)
        return Signature(*map(int, numbers))


class RareCurve(EllipticCurve):
    """A curve of ecdsa."""

    def __init__(self, curve: Curve) -> None:
        self._curve = curve

    def generate(self) -> PrivateKey:
        """A random key."""
        return _RarePrivate(SigningKey.generate(self._curve))

    def private(self, value: int) -> PrivateKey:
        """The key of a secret number."""
        try:
            return _RarePrivate(SigningKey.from_secret_exponent(value, self._curve))
        except MalformedPointError as error:
            raise ValueError("not a private key of the curve") from error

    def public(self, point: bytes) -> PublicKey:
        """The key of an uncompressed point."""
        try:
            return _RarePublic(VerifyingKey.from_string(point, self._curve, valid_encodings=("uncompressed",)))
        except MalformedPointError as error:
            raise ValueError("not a point of the curve") from error


BRAINPOOL: Final[dict[int, EllipticCurve]] = {
    160: RareCurve(curves.BRAINPOOLP160r1),
    192: RareCurve(curves.BRAINPOOLP192r1),
    224: RareCurve(curves.BRAINPOOLP224r1),
    320: RareCurve(curves.BRAINPOOLP320r1),
}
"""The curves by bits of the prime."""
