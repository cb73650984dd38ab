"""Functions 19, 20, 21, 33 and 34: generate, use, unwrap and wrap AES keys (hardware.md 4.5)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from apmatrix.arch import Layout, bits, constant, octets
from apmatrix.cards.ep11.blob import KEY_SIZES, Key, KeyAttributes, seal, unseal
from apmatrix.cards.ep11.errors import Ep11Error, ReturnValue

if TYPE_CHECKING:
    from apmatrix.cards.ep11.call import FunctionCall, Handlers

_AES_KEY_GEN: Final = 0x00001080
_AES_CBC_PAD: Final = 0x00001085
_CPACF_WRAP: Final = 0x80060001
_ATTRIBUTE_KEY_TYPE: Final = 0x00000100
_ATTRIBUTE_VALUE_LENGTH: Final = 0x00000161
_TYPE_AES: Final = 0x1F
_BLOCK: Final = 16
_BLOCK_BITS: Final = 128
_WORD: Final = 4
_KEY_FIELD: Final = 64


class AttributeHeader(Layout, size=12):
    """The beginning of an attribute list: numbers of booleans and values, which booleans, and what they are.

    Pairs of attribute and value follow.
    """

    boolean_words = constant(bits(0, 3), 1)
    pairs = bits(4, 15)
    mask = octets(4, 4)
    values = octets(8, 4)


class WrappedKey(Layout, size=42):
    """The header from which Linux reads a protected key; the key follows in a field of 64 bytes."""

    version = constant(octets(0, 2), 1)
    key_type = constant(octets(18, 4), 1)  # AES
    bits = octets(22, 4)
    size = octets(26, 8)


def generate(call: FunctionCall) -> bytes:
    """Generate a random AES key with the given attributes (21)."""
    _, size, mechanism, attributes = call.strings(4)
    if mechanism != _word(_AES_KEY_GEN):
        raise Ep11Error(ReturnValue.MECHANISM_INVALID)
    booleans, length = _attributes(attributes)
    if length not in KEY_SIZES or length != int.from_bytes(size, "big"):
        raise Ep11Error(ReturnValue.KEY_SIZE_RANGE)
    return seal(Key(os.urandom(length), booleans), call.registers)


def encrypt(call: FunctionCall) -> bytes:
    """Encrypt with AES-CBC and padding (19)."""
    _, mechanism, blob, data = call.strings(4)
    key, iv = unseal(blob, call.registers), _iv(mechanism, _AES_CBC_PAD)
    padder = PKCS7(_BLOCK_BITS).padder()
    padded = padder.update(data) + padder.finalize()
    return Cipher(algorithms.AES(key.value), modes.CBC(iv)).encryptor().update(padded)


def decrypt(call: FunctionCall) -> bytes:
    """Decrypt what function 19 has encrypted, and remove the padding (20)."""
    _, mechanism, blob, data = call.strings(4)
    key = unseal(blob, call.registers)
    return _decrypt_padded(key, _iv(mechanism, _AES_CBC_PAD), data, ReturnValue.ENCRYPTED_DATA_INVALID)


def unwrap(call: FunctionCall) -> bytes:
    """Turn a key that is encrypted under another key into a blob (34)."""
    attributes, mechanism, kek, _, _, wrapped = call.strings(6)
    booleans, length = _attributes(attributes)
    unwrapping = unseal(kek, call.registers)
    value = _decrypt_padded(unwrapping, _iv(mechanism, _AES_CBC_PAD), wrapped, ReturnValue.WRAPPED_KEY_INVALID)
    if len(value) != length:
        raise Ep11Error(ReturnValue.TEMPLATE_INCONSISTENT)
    return seal(Key(value, booleans), call.registers)


def wrap_for_cpacf(call: FunctionCall) -> bytes:
    """Re-wrap a key under the processors' wrapping key; Ep11Error if its attributes do not allow that (33)."""
    _, mechanism, blob = call.strings(3)
    if mechanism[:_WORD] != _word(_CPACF_WRAP):
        raise Ep11Error(ReturnValue.MECHANISM_INVALID)
    key = unseal(blob, call.registers)
    if not key.attributes.protectable:
        raise Ep11Error(ReturnValue.KEY_UNEXTRACTABLE)
    protected = call.card.wrapping_key.wrap(key.value)
    header = WrappedKey(bits=len(key.value) * 8, size=len(protected))
    return bytes(header) + protected.ljust(_KEY_FIELD, b"\0")


def _attributes(data: bytes) -> tuple[KeyAttributes, int]:
    """Booleans and key length of an attribute list; Ep11Error if it is malformed or not an AES key's."""
    try:
        header = AttributeHeader.parse(data)
    except ValueError:
        raise Ep11Error(ReturnValue.TEMPLATE_INCONSISTENT) from None
    size = AttributeHeader.SIZE
    words = [int.from_bytes(data[at : at + _WORD], "big") for at in range(size, len(data), _WORD)]
    if len(data) != size + 2 * _WORD * header.pairs:
        raise Ep11Error(ReturnValue.TEMPLATE_INCONSISTENT)
    values = dict(zip(words[::2], words[1::2], strict=True))
    if values.get(_ATTRIBUTE_KEY_TYPE, _TYPE_AES) != _TYPE_AES:
        raise Ep11Error(ReturnValue.TEMPLATE_INCONSISTENT)
    return KeyAttributes(header.mask & header.values), values.get(_ATTRIBUTE_VALUE_LENGTH, 0)


def _iv(mechanism: bytes, wanted: int) -> bytes:
    iv = mechanism[_WORD:]
    if mechanism[:_WORD] != _word(wanted) or len(iv) != _BLOCK:
        raise Ep11Error(ReturnValue.MECHANISM_INVALID)
    return iv


def _decrypt_padded(key: Key, iv: bytes, data: bytes, error: ReturnValue) -> bytes:
    if not data or len(data) % _BLOCK:
        raise Ep11Error(ReturnValue.DATA_LENGTH_RANGE)
    padded = Cipher(algorithms.AES(key.value), modes.CBC(iv)).decryptor().update(data)
    unpadder = PKCS7(_BLOCK_BITS).unpadder()
    try:
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise Ep11Error(error) from None


def _word(number: int) -> bytes:
    return number.to_bytes(_WORD, "big")


FUNCTIONS: Final[Handlers] = {19: encrypt, 20: decrypt, 21: generate, 33: wrap_for_cpacf, 34: unwrap}
