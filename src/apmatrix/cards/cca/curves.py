"""Elliptic-curve keys in CCA tokens: in the clear, as libica sends them (hardware.md 4.6), or under the APKA key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec

from apmatrix.arch import Layout, constant, flag, octets, text
from apmatrix.arch.messages.tokens import CLEAR_KEY
from apmatrix.cards.cca.ellipticcurves import EllipticCurve, KnownCurve, PrivateKey, PublicKey
from apmatrix.cards.cca.errors import CcaError, Reason
from apmatrix.cards.cca.objectkeys import make_object_key, seal, sealed_size, unseal
from apmatrix.cards.cca.sections import build_token, is_internal, parse_sections, take_section
from apmatrix.cards.cca.tokens import opening_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apmatrix.cards.masterkeys import KeyRegisters, MasterKey

PRIVATE: Final = 0x20
PUBLIC: Final = 0x21

_ENCRYPTED: Final = 0x08
_AES_KEY_WRAP: Final = 1
_SHA256: Final = 2
_UNCOMPRESSED: Final = b"\x04"
_PRIME: Final = 0
_BRAINPOOL: Final = 1

CURVES: Final[Mapping[tuple[int, int], EllipticCurve]] = {
    (_PRIME, 192): KnownCurve(ec.SECP192R1()),
    (_PRIME, 224): KnownCurve(ec.SECP224R1()),
    (_PRIME, 256): KnownCurve(ec.SECP256R1()),
    (_PRIME, 384): KnownCurve(ec.SECP384R1()),
    (_PRIME, 521): KnownCurve(ec.SECP521R1()),
    (_BRAINPOOL, 256): KnownCurve(ec.BrainpoolP256R1()),
    (_BRAINPOOL, 384): KnownCurve(ec.BrainpoolP384R1()),
    (_BRAINPOOL, 512): KnownCurve(ec.BrainpoolP512R1()),
}
"""Curves by type and bits of the prime; with the rare ones they are all of libica's ica_api.h."""

_RARE: Final = frozenset((160, 192, 224, 320))


class EccPrivateSection(Layout, size=76):
    """The private key section; associated data and the key follow."""

    section = constant(octets(0, 1), PRIVATE)
    length = octets(2, 2)
    wrap_method = octets(4, 1)
    hash_method = octets(5, 1)
    usage = octets(8, 1)
    exportable = flag(8 * 8 + 7)  # of the usage: may become a protected key
    curve_type = octets(9, 1)
    key_format = octets(10, 1)
    prime_bits = octets(12, 2)
    ibm_associated_length = octets(14, 2)
    pattern = text(16, 8)
    object_key = text(24, 48)
    associated_length = octets(72, 2)
    formatted_length = octets(74, 2)


class AssociatedData(Layout, size=16):
    """The attributes that the private section repeats about its key."""

    length = constant(octets(2, 2), 16)
    curve_type = octets(7, 1)
    prime_bits = octets(8, 2)
    usage = octets(10, 1)
    key_format = octets(11, 1)


class EccPublicSection(Layout, size=14):
    """The public key section; the point follows, 04 before its coordinates."""

    section = constant(octets(0, 1), PUBLIC)
    length = octets(2, 2)
    curve_type = octets(8, 1)
    prime_bits = octets(10, 2)
    point_length = octets(12, 2)


class Curve(NamedTuple):
    """A curve as tokens name it."""

    curve_type: int
    prime_bits: int

    @property
    def algorithm(self) -> EllipticCurve:
        """The curve to compute with; CcaError if it is not one that the cards know."""
        if self.curve_type == _BRAINPOOL and self.prime_bits in _RARE:
            from apmatrix.cards.cca.rarecurves import BRAINPOOL  # noqa: PLC0415 - few programs use one

            return BRAINPOOL[self.prime_bits]
        try:
            return CURVES[self]
        except KeyError:
            raise CcaError(Reason.KEY_TYPE) from None

    @property
    def size(self) -> int:
        """Bytes of a coordinate or private key."""
        return (self.prime_bits + 7) // 8


def read_skeleton(token: bytes) -> tuple[Curve, int]:
    """The curve and usage that a token without a key specifies."""
    header, _ = take_section(parse_sections(token), PRIVATE, EccPrivateSection)
    return Curve(header.curve_type, header.prime_bits), header.usage


def read_private(token: bytes, registers: KeyRegisters) -> tuple[Curve, PrivateKey]:
    """The private key in a token, in the clear or under the APKA master key in ``registers``.

    CcaError if there is none, if it does not fit its curve, or if it cannot be opened.
    """
    curve, value, _ = read_private_value(token, registers)
    try:
        return curve, curve.algorithm.private(int.from_bytes(value, "big"))
    except ValueError:
        raise CcaError(Reason.BAD_DATA) from None


def read_private_value(token: bytes, registers: KeyRegisters) -> tuple[Curve, bytes, bool]:
    """Curve, full-width private key, and whether it is exportable; CcaError as for :func:`read_private`."""
    sections = parse_sections(token)
    header, content = take_section(sections, PRIVATE, EccPrivateSection)
    curve = Curve(header.curve_type, header.prime_bits)
    value = content[header.associated_length : header.associated_length + header.formatted_length]
    if (header.key_format, is_internal(token)) == (_ENCRYPTED, True):
        associated = content[: header.associated_length]
        master = opening_key(registers, header.pattern)
        value = unseal(value, _bound(header, associated, sections.get(PUBLIC, b"")), header.object_key, master)
        value = value[: curve.size]
    elif header.key_format != CLEAR_KEY:
        raise CcaError(Reason.BAD_TOKEN)
    if len(value) != curve.size:
        raise CcaError(Reason.BAD_TOKEN)
    return curve, value, header.exportable


def read_public(token: bytes) -> tuple[Curve, PublicKey]:
    """The public key in a token; CcaError if there is none or it is not a point of its curve."""
    header, content = take_section(parse_sections(token), PUBLIC, EccPublicSection)
    curve = Curve(header.curve_type, header.prime_bits)
    point = content[: header.point_length]
    if len(point) != 1 + 2 * curve.size or point[:1] != _UNCOMPRESSED:
        raise CcaError(Reason.BAD_TOKEN)
    try:
        return curve, curve.algorithm.public(point)
    except ValueError:
        raise CcaError(Reason.BAD_DATA) from None


def build_pair(curve: Curve, usage: int, key: PrivateKey, master: MasterKey | None) -> bytes:
    """A token with private and public section, the private key under ``master`` or in the clear."""
    secret = key.value.to_bytes(curve.size, "big")
    public = _public_section(curve, key.public)
    key_format = CLEAR_KEY if master is None else _ENCRYPTED
    associated = AssociatedData(
        curve_type=curve.curve_type,
        prime_bits=curve.prime_bits,
        usage=usage,
        key_format=key_format,
    )
    formatted_length = curve.size if master is None else sealed_size(curve.size)
    private = EccPrivateSection(
        length=EccPrivateSection.SIZE + AssociatedData.SIZE + formatted_length,
        usage=usage,
        curve_type=curve.curve_type,
        key_format=key_format,
        prime_bits=curve.prime_bits,
        ibm_associated_length=AssociatedData.SIZE,
        associated_length=AssociatedData.SIZE,
        formatted_length=formatted_length,
    )
    if master is not None:
        private = private.replace(wrap_method=_AES_KEY_WRAP, hash_method=_SHA256, pattern=master.pattern)
        object_key, wrapped = make_object_key(master)
        secret = seal(secret, _bound(private, bytes(associated), public), object_key)
        private = private.replace(object_key=wrapped)
    return build_token(bytes(private), bytes(associated), secret, public, internal=master is not None)


def _public_section(curve: Curve, key: PublicKey) -> bytes:
    point = key.point
    header = EccPublicSection(
        length=EccPublicSection.SIZE + len(point),
        curve_type=curve.curve_type,
        prime_bits=curve.prime_bits,
        point_length=len(point),
    )
    return bytes(header) + point


def _bound(header: EccPrivateSection, associated: bytes, public: bytes) -> bytes:
    """What a private key under a master key is authenticated with: the clear part of its token."""
    return b"".join((bytes(header.replace(object_key=b"")), associated, public))
