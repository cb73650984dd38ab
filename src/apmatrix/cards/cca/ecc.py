"""DH, SG, SV and PG: elliptic curves with clear keys, as libica uses them (hardware.md 4.6), and with secure keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.arch import KeySet
from apmatrix.cards.cca.blocks import Part, take_block
from apmatrix.cards.cca.curves import build_pair, read_private, read_public, read_skeleton
from apmatrix.cards.cca.ellipticcurves import HASHES, Signature
from apmatrix.cards.cca.errors import CcaError, Reason
from apmatrix.cards.cca.verb import Result, VerbCall

if TYPE_CHECKING:
    from apmatrix.cards.cca.verb import Verbs
    from apmatrix.cards.masterkeys import MasterKey

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
    secret = private.exchange(public)
    vud = b"".join(Part(tag, b"").build() for tag in _DERIVED_TAGS)
    return Result(vud=vud, keys=Part(0, secret).build())


def sign(call: VerbCall) -> Result:
    """Make an ECDSA signature, with r and s at the full width of the curve (SG)."""
    call.require(b"ECDSA")
    digest, _ = take_block(call.parameters.vud)
    curve, private = read_private(call.key_parts(1)[0].content, call.registers(KeySet.APKA))
    _check_digest(digest)
    signature = b"".join(number.to_bytes(curve.size, "big") for number in private.sign(digest))
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
    _check_digest(digest)
    r, s = (int.from_bytes(half, "big") for half in (signature[: curve.size], signature[curve.size :]))
    if not public.verifies(digest, Signature(r, s)):
        raise CcaError(Reason.BAD_SIGNATURE)
    return Result()


def generate(skeleton: bytes, master: MasterKey | None) -> bytes:
    """The token of a random key pair on the skeleton's curve, under an APKA master key or in the clear."""
    curve, usage = read_skeleton(skeleton)
    return build_pair(curve, usage, curve.algorithm.generate(), master)


def _check_digest(digest: bytes) -> None:
    if len(digest) not in HASHES:
        raise CcaError(Reason.BAD_LENGTH)


VERBS: Final[Verbs] = {b"DH": derive, b"SG": sign, b"SV": verify}
