"""Key blobs: EP11 keys under the wrapping key of their domain (hardware.md 4.5).

Linux may overlay a header on the session field, so nothing depends on it. The rest is authenticated.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from apmatrix.arch import Layout, constant, flag, octets, text
from apmatrix.cards.ep11.errors import Ep11Error, ReturnValue

if TYPE_CHECKING:
    from apmatrix.cards.masterkeys import KeyRegisters, MasterKey

KEY_SIZES: Final = (16, 24, 32)
"""Bytes of an AES key."""

_HEADER_SIZE: Final = 16
_PATTERN_SIZE: Final = 16
_AUTHENTICATED: Final = slice(32, 224)
_IV_SIZE: Final = 14
_DATA_SIZE: Final = 144


class KeyAttributes(Layout, size=8):
    """The boolean attributes of a key."""

    protectable = flag(42)  # the key may become a protected key


class KeyBlob(Layout, size=256):
    """A blob. ``data`` is encrypted, ``mac`` covers everything after the session."""

    pattern = text(32, 16)
    attributes = octets(48, 8, KeyAttributes)
    mode = octets(56, 8)
    version = constant(octets(64, 2), 0x1234)
    iv = text(66, 14)
    data = text(80, 144)
    mac = text(224, 32)


def find_blob(content: bytes) -> slice:
    """Where the blob is in a key as Linux hands it out: at the beginning, or after a header of 16 bytes.

    More may follow; a header may lie over the session. ValueError if there is none.
    """
    for start in (0, _HEADER_SIZE):
        with suppress(ValueError):
            KeyBlob.parse(content[start:])
            return slice(start, start + KeyBlob.SIZE)
    raise ValueError("there is no EP11 key blob in it")


def with_session_of(blob: bytes, new: bytes) -> bytes:
    """``new`` with the session of ``blob``, where Linux may have put a header that is still valid."""
    return blob[: _AUTHENTICATED.start] + new[_AUTHENTICATED.start :]


class Key(NamedTuple):
    """An AES key with its attributes."""

    value: bytes
    attributes: KeyAttributes

    def __repr__(self) -> str:
        return f"<Key of {len(self.value) * 8} bits, attributes {self.attributes.value:08x}>"


def seal(key: Key, registers: KeyRegisters) -> bytes:
    """A blob for ``key``; Ep11Error if the domain has no wrapping key."""
    if registers.current is None:
        raise Ep11Error(ReturnValue.NO_WRAPPING_KEY)
    if len(key.value) not in KEY_SIZES:
        raise Ep11Error(ReturnValue.KEY_SIZE_RANGE)
    iv = os.urandom(_IV_SIZE)
    plain = (len(key.value).to_bytes(2, "big") + key.value).ljust(_DATA_SIZE, b"\0")
    blob = KeyBlob(
        pattern=registers.current.pattern[:_PATTERN_SIZE],
        attributes=key.attributes,
        iv=iv,
        data=_cipher(registers.current, iv).encryptor().update(plain),
    )
    return bytes(blob.replace(mac=_mac(registers.current, bytes(blob))))


def unseal(data: bytes, registers: KeyRegisters) -> Key:
    """The key in a blob; Ep11Error if it is malformed, altered, or under another wrapping key."""
    if len(data) != KeyBlob.SIZE:
        raise Ep11Error(ReturnValue.KEY_HANDLE_INVALID)
    if registers.current is None:
        raise Ep11Error(ReturnValue.NO_WRAPPING_KEY)
    blob = KeyBlob.overlay(data)
    if not hmac.compare_digest(blob.pattern, registers.current.pattern[:_PATTERN_SIZE]):
        raise Ep11Error(ReturnValue.WRONG_WRAPPING_KEY)
    if not hmac.compare_digest(blob.mac, _mac(registers.current, data)):
        raise Ep11Error(ReturnValue.KEY_HANDLE_INVALID)
    plain = _cipher(registers.current, blob.iv).decryptor().update(blob.data)
    size = int.from_bytes(plain[:2], "big")
    return Key(plain[2 : 2 + size], blob.attributes)


def _cipher(master: MasterKey, iv: bytes) -> Cipher[modes.CTR]:
    return Cipher(algorithms.AES(_derive(master, b"data")), modes.CTR(iv + bytes(2)))


def _mac(master: MasterKey, blob: bytes) -> bytes:
    return hmac.digest(_derive(master, b"mac"), blob[_AUTHENTICATED], "sha256")


def _derive(master: MasterKey, purpose: bytes) -> bytes:
    return hashlib.blake2b(master.key, digest_size=32, person=b"apmatrix-" + purpose).digest()
