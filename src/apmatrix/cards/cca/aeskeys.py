"""KG, CM, GK and IP: generate and import AES secure keys, and combine them from parts (hardware.md 4.4)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from apmatrix.arch import KeySet
from apmatrix.cards.cca.blocks import KEYWORD_LENGTH, Part, find_part, parse_parts
from apmatrix.cards.cca.errors import CcaError, Reason
from apmatrix.cards.cca.tokens import (
    AES_KEY_SIZES,
    open_cipher,
    parse_cipher_header,
    seal_cipher,
    seal_data,
)
from apmatrix.cards.cca.verb import Result, VerbCall

if TYPE_CHECKING:
    from apmatrix.cards.cca.verb import Verbs

_KEY_LENGTHS: Final = {b"KEYLN16": 16, b"KEYLN24": 24, b"KEYLN32": 32}
_TOKEN_FLAGS: Final = 0x0030
_BITS_TAG: Final = 0x0064
_KEY_PART_TAG: Final = 0x0063
_COMPLETE: Final = 3
_PARTS_ENOUGH: Final = 0
_ONE_MORE: Final = 2
_TWO_MORE: Final = 1
_AFTER_PART: Final = {_TWO_MORE: _ONE_MORE, _ONE_MORE: _PARTS_ENOUGH, _PARTS_ENOUGH: _PARTS_ENOUGH}


def _token_result(token: bytes, *more: Part) -> Result:
    parts = (Part(_TOKEN_FLAGS, token), *more)
    return Result(keys=b"".join(part.build() for part in parts))


def generate_data(call: VerbCall) -> Result:
    """Generate a random DATA key (KG)."""
    call.require()
    words = call.parameters.vud
    use, length, kind = (
        words[start : start + KEYWORD_LENGTH].rstrip(b" ") for start in range(0, 3 * KEYWORD_LENGTH, KEYWORD_LENGTH)
    )
    if use != b"OP" or kind != b"AESDATA" or length not in _KEY_LENGTHS:
        raise CcaError(Reason.BAD_RULE)
    return _token_result(seal_data(os.urandom(_KEY_LENGTHS[length]), call.registers(KeySet.AES)))


def import_clear(call: VerbCall) -> Result:
    """Import a clear key as a DATA key (CM)."""
    call.require(b"AES")
    return _token_result(seal_data(call.parameters.vud, call.registers(KeySet.AES)))


def generate_cipher(call: VerbCall) -> Result:
    """Generate a random CIPHER key with the attributes of the skeleton, which is the third key part (GK)."""
    call.require(b"AES", b"OP")
    words = call.parameters.vud
    size = int.from_bytes(words[2 * KEYWORD_LENGTH : 2 * KEYWORD_LENGTH + 2], "big") // 8
    if words[:KEYWORD_LENGTH].rstrip(b" ") != b"TOKEN" or size not in AES_KEY_SIZES:
        raise CcaError(Reason.BAD_RULE)
    skeleton = parse_cipher_header(call.key_parts(3)[2].content)
    token = seal_cipher(skeleton, os.urandom(size), _COMPLETE, call.registers(KeySet.AES))
    return _token_result(token, Part(0, b""))


def import_part(call: VerbCall) -> Result:
    """Combine a CIPHER key from three or more parts by XOR, then mark it complete (IP)."""
    rules = call.parameters.rules
    token = call.key_parts(1)[0].content
    if rules == (b"AES", b"FIRST", b"MIN3PART"):
        return _token_result(_first_part(call, token))
    if rules == (b"AES", b"ADD-PART"):
        return _token_result(_further_part(call, token))
    if rules == (b"AES", b"COMPLETE"):
        return _token_result(_complete(call, token))
    raise CcaError(Reason.BAD_RULE)


def _first_part(call: VerbCall, skeleton: bytes) -> bytes:
    return seal_cipher(parse_cipher_header(skeleton), _clear_part(call), _TWO_MORE, call.registers(KeySet.AES))


def _further_part(call: VerbCall, token: bytes) -> bytes:
    registers = call.registers(KeySet.AES)
    header, key = open_cipher(token, registers)
    part = _clear_part(call)
    if header.completeness == _COMPLETE or len(part) != len(key):
        raise CcaError(Reason.BAD_DATA)
    mixed = bytes(a ^ b for a, b in zip(key, part, strict=True))
    return seal_cipher(header, mixed, _AFTER_PART[header.completeness], registers)


def _complete(call: VerbCall, token: bytes) -> bytes:
    registers = call.registers(KeySet.AES)
    header, key = open_cipher(token, registers)
    if header.completeness != _PARTS_ENOUGH:
        raise CcaError(Reason.BAD_DATA)
    return seal_cipher(header, key, _COMPLETE, registers)


def _clear_part(call: VerbCall) -> bytes:
    parts = parse_parts(call.parameters.vud)
    part = find_part(parts, _KEY_PART_TAG)
    if int.from_bytes(find_part(parts, _BITS_TAG), "big") != len(part) * 8:
        raise CcaError(Reason.BAD_LENGTH)
    return part


VERBS: Final[Verbs] = {b"KG": generate_data, b"CM": import_clear, b"GK": generate_cipher, b"IP": import_part}
