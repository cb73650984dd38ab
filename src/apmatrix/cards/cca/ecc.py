"""DH, SG, SV and PG: elliptic curves with clear keys, as libica uses them (hardware.md 4.6), and with secure keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)

from apmatrix.cards.cca.blocks import Part, take_block
from apmatrix.cards.cca.curves import build_pair, read_private, read_public, read_skeleton
from apmatrix.cards.cca.errors import CcaError, Reason
from apmatrix.cards.cca.verb import Result, VerbCall
from apmatrix.cards.masterkeys import KeySet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apmatrix.cards.cca.verb import Verbs
    from apmatrix.cards.masterkeys import MasterKey

_HASHES: Final[Mapping[int, hashes.HashAlgorithm]] = {
    20: hashes.SHA1(),
    28: hashes.SHA224(),
    32: hashes.SHA256(),
    48: hashes.SHA384(),
    64: hashes.SHA512(),
}
_DERIVED_TAGS: Final = (0x0091, 0x0090, 0x0092)
_SIGNATURE_HEADER: Final = 6


def derive(call: VerbCall) -> Result:
    """Derive a secret: the x coordinate of the first token's private key times its public point (DH)."""
    call.require(b"PASSTHRU")
    token = call.key_parts(1)[0].content
    curve, private = read_private(token, call.registers(KeySet.APKA))
    other_curve, public = read_public(token)
    if curve != other_curve:
        raise CcaError(Reason.KEY_TYPE)
    secret = private.exchange(ec.ECDH(), public)
    vud = b"".join(Part(tag, b"").build() for tag in _DERIVED_TAGS)
    return Result(vud=vud, keys=Part(0, secret).build())


def sign(call: VerbCall) -> Result:
    """Make an ECDSA signature, with r and s at the full width of the curve (SG)."""
    call.require(b"ECDSA")
    digest, _ = take_block(call.parameters.vud)
    curve, private = read_private(call.key_parts(1)[0].content, call.registers(KeySet.APKA))
    numbers = decode_dss_signature(private.sign(digest, ec.ECDSA(Prehashed(_hash(digest)))))
    signature = b"".join(number.to_bytes(curve.size, "big") for number in numbers)
    header = (_SIGNATURE_HEADER + len(signature)).to_bytes(2, "big") + (len(signature) * 8).to_bytes(4, "big")
    return Result(vud=header + signature)


def verify(call: VerbCall) -> Result:
    """Verify an ECDSA signature; CcaError 4/429 if it is wrong (SV)."""
    call.require(b"ECDSA")
    digest, rest = take_block(call.parameters.vud)
    signature, _ = take_block(rest)
    curve, public = read_public(call.key_parts(1)[0].content)
    if len(signature) != 2 * curve.size:
        raise CcaError(Reason.BAD_LENGTH)
    encoded = encode_dss_signature(
        int.from_bytes(signature[: curve.size], "big"), int.from_bytes(signature[curve.size :], "big")
    )
    try:
        public.verify(encoded, digest, ec.ECDSA(Prehashed(_hash(digest))))
    except InvalidSignature:
        raise CcaError(Reason.BAD_SIGNATURE) from None
    return Result()


def generate(skeleton: bytes, master: MasterKey | None) -> bytes:
    """The token of a random key pair on the skeleton's curve, under an APKA master key or in the clear."""
    curve, usage = read_skeleton(skeleton)
    return build_pair(curve, usage, ec.generate_private_key(curve.algorithm), master)


def _hash(digest: bytes) -> hashes.HashAlgorithm:
    try:
        return _HASHES[len(digest)]
    except KeyError:
        raise CcaError(Reason.BAD_LENGTH) from None


VERBS: Final[Verbs] = {b"DH": derive, b"SG": sign, b"SV": verify}
