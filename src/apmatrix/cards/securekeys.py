"""Secure AES keys, from the sender's side: requests that make and use them, and their form in files.

A key is kept as zkey keeps it: a CCA token, or an EP11 blob with Linux' header over its session and padding after it;
a key for XTS is two of them (hardware.md 4.4, 4.5).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from apmatrix.arch import KeySet, Layout, constant, octets
from apmatrix.arch.messages import Ep11Function
from apmatrix.arch.messages.pkey import EP11_IN_FRONT, EP11_OVERLAY, EP11_PADDING, Ep11KeyHeader
from apmatrix.cards.cca.blocks import Parameters, Part, parse_parts
from apmatrix.cards.cca.errors import CcaError, Reason
from apmatrix.cards.cca.tokens import CIPHER_VERSION, CipherToken, DataToken
from apmatrix.cards.ep11.blob import KeyBlob, find_blob, with_session_of
from apmatrix.cards.ep11.errors import ReturnValue
from apmatrix.cards.ep11.payload import Payload
from apmatrix.cards.errors import CardError
from apmatrix.cards.requests import RequestError, cca_control, ep11_control, read_cca_control, read_ep11_control

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY_BITS: Final = (128, 192, 256)
"""Sizes of AES keys."""


class SecureKeyError(CardError):
    """The card does not make or open a key; the text says why, for a sentence about a queue."""


class KeyKind(Enum):
    """The kinds of secure AES keys, by their names in zkey."""

    AESDATA = "CCA-AESDATA"
    AESCIPHER = "CCA-AESCIPHER"
    EP11 = "EP11-AES"

    @property
    def key_set(self) -> KeySet:
        """The set of master keys that wraps it."""
        return KeySet.WK if self is KeyKind.EP11 else KeySet.AES


@dataclass(frozen=True, slots=True)
class SecureKey:
    """A secure key in a file: its kind and bits (None if it does not tell), and the pattern of its master key.

    ``token`` are the bytes that the card knows, ``place`` is where they are in the file.
    """

    kind: KeyKind
    bits: int | None
    pattern: bytes
    token: bytes = field(repr=False)
    place: slice

    @classmethod
    def all_in(cls, content: bytes) -> tuple[SecureKey, ...]:
        """The keys that a file's content begins with; ValueError if there is none."""
        found = tuple(_keys(content))
        if not found:
            raise ValueError("there is no secure AES key in it: neither a CCA token nor an EP11 blob")
        return found

    def use(self, domain: int) -> bytes:
        """The control block of a request for which the card must open the key, for the queue of ``domain``."""
        if self.kind is KeyKind.EP11:
            mechanism = _word(_AES_CBC_PAD) + bytes(16)
            strings = (_word(0), mechanism, self.token, bytes(16))
            return ep11_control(Payload(Ep11Function(api=1, number=_ENCRYPT), domain, strings))
        keys = Part(0, self.token).build()
        if self.kind is KeyKind.AESDATA:
            return cca_control(Parameters(b"US", (), Part(1, b"").build(), keys), domain)
        return cca_control(Parameters(b"AU", (b"EXPT-SK",), Part(0xC2, bytes(66)).build(), keys), domain)

    def check_use(self, control: bytes) -> None:
        """SecureKeyError if the answer to :meth:`use` says that the card could not open the key."""
        if self.kind is KeyKind.EP11:
            _ep11_data(control)
        else:
            _cca_keys(control)


def generate(kind: KeyKind, bits: int, domain: int) -> bytes:
    """The control block of the request that makes a random key, for the queue of ``domain``."""
    if kind is KeyKind.EP11:
        size = _word(bits // 8)
        attributes = b"".join(map(_word, (0x10010000, _ATTRIBUTES, _ATTRIBUTES, _VALUE_LENGTH))) + size
        strings = (_word(0), size, _word(_AES_KEY_GEN), attributes, b"")
        return ep11_control(Payload(Ep11Function(api=4, number=_GENERATE), domain, strings))
    if kind is KeyKind.AESDATA:
        words = b"OP      " + b"KEYLN%-3d" % (bits // 8) + b"AESDATA " + bytes(8)
        parts = (Part(0x30 if number == 2 else 0x10, bytes(64)) for number in range(6))
        return cca_control(Parameters(b"KG", (), words, b"".join(part.build() for part in parts)), domain)
    words = b"TOKEN   " + b" " * 8 + bits.to_bytes(2, "big") + bytes(8)
    parts = (Part(0x30, bytes(CipherSkeleton()) if number == 2 else b"") for number in range(6))
    return cca_control(Parameters(b"GK", (b"AES", b"OP"), words, b"".join(part.build() for part in parts)), domain)


def generated(kind: KeyKind, bits: int, control: bytes) -> bytes:
    """The key in the answer to such a request, as zkey keeps it; SecureKeyError if the card refused."""
    if kind is not KeyKind.EP11:
        return _cca_keys(control)[0].content
    blob = _ep11_data(control)[: KeyBlob.SIZE]
    header = Ep11KeyHeader(length=len(blob), version=EP11_OVERLAY, bits=bits)
    return with_session_of(bytes(header).ljust(KeyBlob.SIZE, b"\0"), blob) + bytes(EP11_PADDING)


class CipherSkeleton(Layout, size=56):
    """A CIPHER token without a key: encrypts and decrypts in any mode, may become a protected key, and not more."""

    token_type = constant(octets(0, 1), 1)
    length = constant(octets(2, 2), 56)
    version = constant(octets(4, 1), CIPHER_VERSION)
    wrap_method = constant(octets(26, 1), 2)
    payload_format = constant(octets(28, 1), 1)
    associated_version = constant(octets(30, 1), 1)
    associated_length = constant(octets(32, 2), 26)
    algorithm = constant(octets(41, 1), 2)
    key_type = constant(octets(42, 2), 1)
    usage_fields = constant(octets(44, 1), 2)
    usage = constant(octets(45, 2), 0xC000)
    usage_mode = constant(octets(47, 2), 0xFF00)
    management_fields = constant(octets(49, 1), 3)
    management = constant(octets(50, 2), 0x08C8)


_ENCRYPT: Final = 19
_GENERATE: Final = 21
_AES_KEY_GEN: Final = 0x00001080
_AES_CBC_PAD: Final = 0x00001085
_VALUE_LENGTH: Final = 0x00000161
_ATTRIBUTES: Final = 0x00200C00
_FIXED_PAYLOAD: Final = 1
_AROUND_THE_KEY: Final = 384


def _keys(content: bytes) -> Iterator[SecureKey]:
    """The keys at the beginning of ``content``, up to what is not one."""
    start: int | None = 0
    while start is not None:
        found, start = _key_at(content, start)
        if found is not None:
            yield found


def _key_at(content: bytes, start: int) -> tuple[SecureKey | None, int | None]:
    """The key that begins there, and where the next one may begin; None for both if there is none."""
    rest = content[start:]
    for read in (_data_key, _cipher_key):
        with suppress(ValueError):
            key = read(rest, start)
            return key, key.place.stop
    with suppress(ValueError):
        blob = find_blob(rest)
        header = Ep11KeyHeader.overlay(rest)
        known = header.version == (EP11_IN_FRONT if blob.start else EP11_OVERLAY)
        token, place = rest[blob], slice(start + blob.start, start + blob.stop)
        bits = (known and header.bits) or None
        padded = rest[blob.stop :].startswith(bytes(EP11_PADDING))
        following = place.stop + (EP11_PADDING if padded else 0)
        return SecureKey(KeyKind.EP11, bits, KeyBlob.parse(token).pattern, token, place), following
    return None, None


def _data_key(content: bytes, start: int) -> SecureKey:
    fields, size = DataToken.parse(content), DataToken.SIZE
    place = slice(start, start + size)
    return SecureKey(KeyKind.AESDATA, fields.bits, fields.pattern, content[:size], place)


def _cipher_key(content: bytes, start: int) -> SecureKey:
    fields = CipherToken.parse(content)
    if not CipherToken.SIZE < fields.length <= len(content):
        raise ValueError("not a whole token")
    bits = None if fields.payload_format == _FIXED_PAYLOAD else fields.payload_bits - _AROUND_THE_KEY
    place = slice(start, start + fields.length)
    return SecureKey(KeyKind.AESCIPHER, bits, fields.pattern, content[: fields.length], place)


_CCA_REASONS: Final = {
    Reason.NO_MASTER_KEY.value: "has no AES master key: load and set one first",
    Reason.MASTER_KEY_MISMATCH.value: "has another AES master key",
    Reason.BAD_TOKEN.value: "finds that it is altered or damaged",
    Reason.KEY_NOT_EXPORTABLE.value: "may not make a protected key of it",
}
_EP11_REASONS: Final = {
    int(ReturnValue.NO_WRAPPING_KEY): "has no wrapping key: load and set one first",
    int(ReturnValue.WRONG_WRAPPING_KEY): "has another wrapping key",
    int(ReturnValue.KEY_HANDLE_INVALID): "finds that it is altered or damaged",
}


def _cca_keys(control: bytes) -> list[Part]:
    found = read_cca_control(control)
    codes = (found.return_code, found.reason_code)
    if codes != (0, 0):
        reason = _CCA_REASONS.get(codes, "refuses the request")
        raise SecureKeyError(f"{reason} (CCA codes {codes[0]}/{codes[1]})")
    try:
        return parse_parts(found.parameters.keys)
    except CcaError:
        raise RequestError("the card's reply has no complete key block") from None


def _ep11_data(control: bytes) -> bytes:
    found = read_ep11_control(control)
    if found.value != ReturnValue.OK:
        reason = _EP11_REASONS.get(found.value, "refuses the request")
        raise SecureKeyError(f"{reason} (EP11 return value {found.value:08x})")
    return found.data


def _word(number: int) -> bytes:
    return number.to_bytes(4, "big")
