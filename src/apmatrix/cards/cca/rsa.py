"""PK and PD: raw RSA with clear keys in CCA tokens (hardware.md 3.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.arch import Layout, octets
from apmatrix.cards.accelerator import raw_crt, raw_modexpo
from apmatrix.cards.arithmetic import CrtKey
from apmatrix.cards.cca.errors import CcaError, Reason
from apmatrix.cards.cca.sections import parse_sections, take_section
from apmatrix.cards.cca.verb import Call, Result
from apmatrix.cards.messages import RefusedMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.cards.cca.verb import Verbs

_PUBLIC: Final = 0x04
_PRIVATE_CRT: Final = 0x08
_CLEAR: Final = 0x40
_SMALLEST: Final = 16
_LARGEST: Final = 512
_PRIME_PADDING: Final = 8  # Linux puts zero bytes before p, dp and u


class PublicSection(Layout, size=12):
    """The public key section; exponent and modulus follow."""

    section = octets(0, 1)
    length = octets(2, 2)
    exponent_length = octets(6, 2)
    modulus_bits = octets(8, 2)
    modulus_length = octets(10, 2)


class PrivateSection(Layout, size=132):
    """The private key section in CRT form; p, q, dp, dq, u, padding and a modulus of FFs follow."""

    section = octets(0, 1)
    length = octets(2, 2)
    key_format = octets(28, 1)
    p_length = octets(54, 2)
    q_length = octets(56, 2)
    dp_length = octets(58, 2)
    dq_length = octets(60, 2)
    u_length = octets(62, 2)
    modulus_length = octets(64, 2)


def modexpo(call: Call) -> Result:
    """PK: the power of the input with the token's exponent and modulus."""
    call.require(b"MRP")
    header, content = take_section(_sections(call), _PUBLIC, PublicSection)
    limit = header.modulus_length
    exponent, modulus = _numbers(content, limit, header.exponent_length, header.modulus_length)
    return _compute(call, header.modulus_length, lambda value: raw_modexpo(value, exponent, modulus))


def decrypt(call: Call) -> Result:
    """PD: the power of the input with a private key in CRT form. The modulus is p * q, not the placeholder."""
    call.require(b"ZERO-PAD")
    header, content = take_section(_sections(call), _PRIVATE_CRT, PrivateSection)
    if header.key_format != _CLEAR:
        raise CcaError(Reason.BAD_TOKEN)
    lengths = (header.p_length, header.q_length, header.dp_length, header.dq_length, header.u_length)
    limit = (header.modulus_length + 1) // 2 + _PRIME_PADDING
    key = CrtKey(*_numbers(content, limit, *lengths))
    return _compute(call, header.modulus_length, lambda value: raw_crt(value, key))


def _sections(call: Call) -> dict[int, bytes]:
    return parse_sections(call.key_parts(1)[0].content)


def _numbers(data: bytes, limit: int, *lengths: int) -> list[int]:
    """Numbers of these lengths, one behind the other; CcaError if one is longer than ``limit``."""
    if max(lengths) > limit:  # computing with it would take as long as the sender likes
        raise CcaError(Reason.BAD_LENGTH)
    if sum(lengths) > len(data):
        raise CcaError(Reason.BAD_TOKEN)
    numbers, start = [], 0
    for length in lengths:
        numbers.append(int.from_bytes(data[start : start + length], "big"))
        start += length
    return numbers


def _compute(call: Call, length: int, power: Callable[[int], int]) -> Result:
    """The result at the modulus' full width; CcaError if input or key are unfit."""
    data = call.parameters.vud
    if not _SMALLEST <= length <= _LARGEST or len(data) != length:
        raise CcaError(Reason.BAD_LENGTH)
    try:
        return Result(vud=power(int.from_bytes(data, "big")).to_bytes(length, "big"))
    except (RefusedMessage, OverflowError):
        raise CcaError(Reason.BAD_DATA) from None


VERBS: Final[Verbs] = {b"PK": modexpo, b"PD": decrypt}
