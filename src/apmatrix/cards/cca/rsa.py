"""PK and PD: raw RSA with keys in CCA tokens, in the clear (hardware.md 3.7) or under the ASYM master key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from apmatrix.arch import KeySet
from apmatrix.arch.messages.tokens import (
    CLEAR_KEY,
    RSA_PRIVATE_CRT,
    RSA_PUBLIC,
    RsaPrivateSection,
    RsaPublicSection,
)
from apmatrix.cards.accelerator import raw_crt, raw_modexpo
from apmatrix.cards.arithmetic import CrtKey
from apmatrix.cards.cca.errors import CcaError, Reason
from apmatrix.cards.cca.objectkeys import make_object_key, seal, sealed_size, unseal
from apmatrix.cards.cca.sections import build_token, is_internal, parse_sections, take_section
from apmatrix.cards.cca.tokens import opening_key
from apmatrix.cards.cca.verb import Result, VerbCall
from apmatrix.cards.messages import RefusedMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.cards.cca.verb import Verbs
    from apmatrix.cards.masterkeys import KeyRegisters, MasterKey

_ENCRYPTED: Final = 0x08
_GENERATED: Final = (128, 256, 384, 512)
_EXPONENT: Final = 65537
_SMALLEST: Final = 16
_LARGEST: Final = 512
_PRIME_PADDING: Final = 8  # Linux puts zero bytes before p, dp and u


def modexpo(call: VerbCall) -> Result:
    """Compute the power of the input with the token's exponent and modulus (PK)."""
    call.require(b"MRP")
    header, content = take_section(parse_sections(call.key_parts(1)[0].content), RSA_PUBLIC, RsaPublicSection)
    limit = header.modulus_length
    exponent, modulus = _numbers(content, limit, header.exponent_length, header.modulus_length)
    return _compute(call, header.modulus_length, lambda value: raw_modexpo(value, exponent, modulus))


def decrypt(call: VerbCall) -> Result:
    """Compute the power of the input with a private key in CRT form (PD).

    The modulus is p * q: the token has only a placeholder.
    """
    call.require(b"ZERO-PAD")
    token = call.key_parts(1)[0].content
    sections = parse_sections(token)
    header, content = take_section(sections, RSA_PRIVATE_CRT, RsaPrivateSection)
    if (header.key_format, is_internal(token)) == (_ENCRYPTED, True):
        content = _open(header, content, sections, call.registers(KeySet.ASYM))
    elif header.key_format != CLEAR_KEY:
        raise CcaError(Reason.BAD_TOKEN)
    limit = (header.modulus_length + 1) // 2 + _PRIME_PADDING
    key = CrtKey(*_numbers(content, limit, *header.lengths))
    return _compute(call, header.modulus_length, lambda value: raw_crt(value, key))


def _open(header: RsaPrivateSection, content: bytes, sections: dict[int, bytes], registers: KeyRegisters) -> bytes:
    """The numbers of a private key under the ASYM master key; CcaError if it cannot be opened."""
    master = opening_key(registers, header.pattern)
    size = sum(header.lengths) + header.pad_length
    bound = _bound(header, content[size:], sections.get(RSA_PUBLIC, b""))
    return unseal(content[:size], bound, header.object_key, master)


def generate(skeleton: bytes, master: MasterKey | None) -> bytes:
    """The token of a random key pair with the skeleton's length of the modulus, under an ASYM key or in the clear."""
    wanted, _ = take_section(parse_sections(skeleton), RSA_PRIVATE_CRT, RsaPrivateSection)
    length = wanted.modulus_length
    if length not in _GENERATED:
        raise CcaError(Reason.BAD_LENGTH)
    key = rsa.generate_private_key(_EXPONENT, length * 8).private_numbers()
    half = length // 2
    numbers = b"".join(number.to_bytes(half, "big") for number in (key.p, key.q, key.dmp1, key.dmq1, key.iqmp))
    modulus = key.public_numbers.n.to_bytes(length, "big")
    public = _public_section(modulus)
    header = RsaPrivateSection(
        length=RsaPrivateSection.SIZE + len(numbers) + length,
        key_format=CLEAR_KEY,
        **dict.fromkeys(("p_length", "q_length", "dp_length", "dq_length", "u_length"), half),
        modulus_length=length,
    )
    if master is not None:
        size = sealed_size(len(numbers))
        header = header.replace(
            length=RsaPrivateSection.SIZE + size + length,
            key_format=_ENCRYPTED,
            pad_length=size - len(numbers),
            pattern=master.pattern,
        )
        object_key, wrapped = make_object_key(master)
        numbers = seal(numbers, _bound(header, modulus, public), object_key)
        header = header.replace(object_key=wrapped)
    return build_token(bytes(header), numbers, modulus, public, internal=master is not None)


def _public_section(modulus: bytes) -> bytes:
    exponent = _EXPONENT.to_bytes(3, "big")
    header = RsaPublicSection(
        length=RsaPublicSection.SIZE + len(exponent) + len(modulus),
        exponent_length=len(exponent),
        modulus_bits=len(modulus) * 8,
        modulus_length=len(modulus),
    )
    return b"".join((bytes(header), exponent, modulus))


def _bound(header: RsaPrivateSection, modulus: bytes, public: bytes) -> bytes:
    """What a private key under a master key is authenticated with: the clear part of its token."""
    return b"".join((bytes(header.replace(object_key=b"")), modulus, public))


def _numbers(data: bytes, limit: int, *lengths: int) -> list[int]:
    """Numbers of these lengths, one after the other; CcaError if one is longer than ``limit``."""
    if max(lengths) > limit:  # otherwise the sender decides how long the computation takes
        raise CcaError(Reason.BAD_LENGTH)
    if sum(lengths) > len(data):
        raise CcaError(Reason.BAD_TOKEN)
    numbers, start = [], 0
    for length in lengths:
        numbers.append(int.from_bytes(data[start : start + length], "big"))
        start += length
    return numbers


def _compute(call: VerbCall, length: int, power: Callable[[int], int]) -> Result:
    """The result at the modulus's full width; CcaError if input or key are unfit."""
    data = call.parameters.vud
    if not _SMALLEST <= length <= _LARGEST or len(data) != length:
        raise CcaError(Reason.BAD_LENGTH)
    try:
        return Result(vud=power(int.from_bytes(data, "big")).to_bytes(length, "big"))
    except (RefusedMessage, OverflowError):
        raise CcaError(Reason.BAD_DATA) from None


VERBS: Final[Verbs] = {b"PK": modexpo, b"PD": decrypt}
