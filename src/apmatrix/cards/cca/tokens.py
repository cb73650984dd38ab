"""Secure AES keys: DATA and CIPHER tokens, each under the AES master key of a domain (hardware.md 4.4, 6.3).

Where Linux does not look, the format is this card's own: a DATA key is encrypted as one CBC block sequence, a
CIPHER key is wrapped (RFC 3394) together with a digest of the token's header, so that its permitted use cannot be
widened.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from apmatrix.arch import Layout, bits, constant, flag, octets, text
from apmatrix.cards.cca.errors import CcaError, Reason

if TYPE_CHECKING:
    from apmatrix.cards.masterkeys import KeyRegisters, MasterKey

AES_KEY_SIZES: Final = (16, 24, 32)
"""Bytes of an AES key."""

INTERNAL: Final = 0x01
"""Token type of symmetric keys under a master key."""

DATA_VERSION: Final = 0x04
CIPHER_VERSION: Final = 0x05

_LARGEST_KEY: Final = 32
_DIGEST_SIZE: Final = 32
_FIXED_PART: Final = 8


class DataToken(Layout, size=64):
    """An AES DATA key."""

    token_type = constant(octets(0, 1), INTERNAL)
    version = constant(octets(4, 1), DATA_VERSION)
    flags = octets(6, 1)
    pattern = text(8, 8)
    wrapped = text(16, 32)
    bits = octets(56, 2)
    length = octets(58, 2)
    check = octets(60, 4)


class CipherToken(Layout, size=56):
    """The header of an AES CIPHER key; the wrapped payload follows."""

    token_type = constant(octets(0, 1), INTERNAL)
    length = octets(2, 2)
    version = constant(octets(4, 1), CIPHER_VERSION)
    key_state = octets(8, 1)
    pattern_type = octets(9, 1)
    pattern = text(10, 8)
    wrap_method = octets(26, 1)
    hash_algorithm = octets(27, 1)
    payload_format = octets(28, 1)
    payload_bits = octets(38, 2)
    algorithm = octets(41, 1)
    key_type = octets(42, 2)
    exportable = flag(404)  # management field 1, mask 0800: may become a protected key
    completeness = bits(416, 417)  # management field 2


_DATA_FLAGS: Final = 0xC0
_WRAPPED_STATE: Final = 3
_AES_KEY_WRAP: Final = 2
_SHA256: Final = 2
_AES: Final = 2
_CIPHER: Final = 1
_FORMAT_FIXED: Final = 1  # the payload has the same length for every key


def token_check(token: bytes) -> int:
    """The check value of a DATA token: the sum of the 32-bit words before it."""
    return sum(int.from_bytes(token[start : start + 4], "big") for start in range(0, 60, 4)) & 0xFFFFFFFF


def current_key(registers: KeyRegisters) -> MasterKey:
    """The master key that wraps new tokens; CcaError if none is set."""
    if registers.current is None:
        raise CcaError(Reason.NO_MASTER_KEY)
    return registers.current


def opening_key(registers: KeyRegisters, pattern: bytes) -> MasterKey:
    """The master key, current or old, that ``pattern`` names; CcaError if this domain has no such key."""
    current_key(registers)
    master = registers.opener(pattern)
    if master is None:
        raise CcaError(Reason.MASTER_KEY_MISMATCH)
    return master


def seal_data(key: bytes, registers: KeyRegisters) -> bytes:
    """A DATA token for ``key``; CcaError if no master key is set or the key does not have a length of AES."""
    if len(key) not in AES_KEY_SIZES:
        raise CcaError(Reason.BAD_LENGTH)
    master = current_key(registers)
    encryptor = _data_cipher(master).encryptor()
    token = DataToken(
        flags=_DATA_FLAGS,
        pattern=master.pattern,
        wrapped=encryptor.update(key.ljust(_LARGEST_KEY, b"\0")),
        bits=len(key) * 8,
        length=_LARGEST_KEY,
    )
    return bytes(token.replace(check=token_check(bytes(token))))


def open_data(token: bytes, registers: KeyRegisters) -> bytes:
    """The key in a DATA token; CcaError if the token is malformed or under another master key."""
    try:
        fields = DataToken.parse(token)
    except ValueError:
        raise CcaError(Reason.BAD_TOKEN) from None
    size = fields.bits // 8
    if len(token) != DataToken.SIZE or size not in AES_KEY_SIZES or fields.check != token_check(token):
        raise CcaError(Reason.BAD_TOKEN)
    master = opening_key(registers, fields.pattern)
    padded = _data_cipher(master).decryptor().update(fields.wrapped)
    if any(padded[size:]):
        raise CcaError(Reason.BAD_TOKEN)
    return padded[:size]


def _data_cipher(master: MasterKey) -> Cipher[modes.CBC]:
    return Cipher(algorithms.AES(master.key), modes.CBC(bytes(16)))


def parse_cipher_header(token: bytes) -> CipherToken:
    """The header of a CIPHER token or skeleton; CcaError if ``token`` is neither."""
    try:
        header = CipherToken.parse(token)
    except ValueError:
        raise CcaError(Reason.BAD_TOKEN) from None
    if header.length != len(token):
        raise CcaError(Reason.BAD_TOKEN)
    if (header.algorithm, header.key_type) != (_AES, _CIPHER):
        raise CcaError(Reason.KEY_TYPE)
    return header


def seal_cipher(skeleton: CipherToken, key: bytes, completeness: int, registers: KeyRegisters) -> bytes:
    """A CIPHER token for ``key`` with the attributes of ``skeleton``."""
    if len(key) not in AES_KEY_SIZES:
        raise CcaError(Reason.BAD_LENGTH)
    master = current_key(registers)
    padded = key.ljust(_LARGEST_KEY, b"\0") if skeleton.payload_format == _FORMAT_FIXED else key
    payload_size = _DIGEST_SIZE + _FIXED_PART + len(padded) + _FIXED_PART
    header = skeleton.replace(
        length=CipherToken.SIZE + payload_size,
        key_state=_WRAPPED_STATE,
        pattern_type=1,
        pattern=master.pattern,
        wrap_method=_AES_KEY_WRAP,
        hash_algorithm=_SHA256,
        payload_bits=payload_size * 8,
        completeness=completeness,
    )
    digest = hashlib.sha256(bytes(header)).digest()
    payload = aes_key_wrap(master.key, digest + len(key).to_bytes(_FIXED_PART, "big") + padded)
    return bytes(header) + payload


def open_cipher(token: bytes, registers: KeyRegisters) -> tuple[CipherToken, bytes]:
    """Header and key of a CIPHER token; CcaError if it is malformed, altered, or under another master key."""
    header = parse_cipher_header(token)
    master = opening_key(registers, header.pattern)
    try:
        plain = aes_key_unwrap(master.key, token[CipherToken.SIZE :])
    except (InvalidUnwrap, ValueError):
        raise CcaError(Reason.BAD_TOKEN) from None
    digest, rest = plain[:_DIGEST_SIZE], plain[_DIGEST_SIZE:]
    if not hmac.compare_digest(digest, hashlib.sha256(bytes(header)).digest()):
        raise CcaError(Reason.BAD_TOKEN)
    size = int.from_bytes(rest[:_FIXED_PART], "big")
    return header, rest[_FIXED_PART : _FIXED_PART + size]
