"""RSA requests as Linux builds them for accelerators and CCA coprocessors (hardware.md 3.1, 3.7).

They are what programs in the emulated systems send. A result is checked with Python's own ``pow``, which shares no
code with the cards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric import rsa

from apmatrix.arch import ApmatrixError, Mode
from apmatrix.cards.messages import (
    AcceleratorHeader,
    Cprbx,
    MessageType,
    ReplyHeader,
    RequestHeader,
    message_type,
)

REPLY_ROOM: Final = 0x724
"""Bytes that Linux has ready for the reply of a coprocessor to an RSA request."""

_ACCELERATOR_SIZES: Final = (128, 256, 512)
_CPRBX_SIZE: Final = 220
_HEADER_SIZE: Final = 88
_RESULT_AT: Final = 274


class BadReply(ApmatrixError):
    """A card did not answer an RSA request with a result."""


@dataclass(frozen=True)
class RsaKey:
    """A private key, with everything that both forms of request need; never shown."""

    n: int
    e: int = field(repr=False)
    d: int = field(repr=False)
    p: int = field(repr=False)
    q: int = field(repr=False)
    dp: int = field(repr=False)
    dq: int = field(repr=False)
    u: int = field(repr=False)

    @classmethod
    def generate(cls, bits: int = 2048) -> Self:
        """A new key."""
        made = rsa.generate_private_key(65537, bits).private_numbers()
        public = made.public_numbers
        return cls(public.n, public.e, made.d, made.p, made.q, made.dmp1, made.dmq1, made.iqmp)

    @property
    def length(self) -> int:
        """Bytes of the modulus."""
        return (self.n.bit_length() + 7) // 8


@dataclass(frozen=True)
class RsaRequest:
    """Raw RSA on ``value``: with the public exponent, or with the private key in CRT form."""

    key: RsaKey
    value: int = field(repr=False)
    crt: bool

    @property
    def name(self) -> str:
        """``ME`` or ``CRT``."""
        return "CRT" if self.crt else "ME"

    def message(self, mode: Mode, domain: int) -> bytes:
        """The request message for a card of that mode and one of its domains.

        Raises ApmatrixError for EP11, which takes no keys in the clear.
        """
        if mode is Mode.ACCELERATOR:
            return self._accelerator_message()
        if mode is Mode.CCA:
            return self._cca_message(domain)
        raise ApmatrixError("an EP11 coprocessor takes no RSA keys in the clear: use an accelerator or CCA")

    def result(self, reply: bytes) -> int:
        """The number in the card's reply; BadReply if the card refused the request."""
        if message_type(reply) == MessageType.ACCELERATOR_REPLY:
            return int.from_bytes(reply[-self.key.length :], "big")
        if message_type(reply) == MessageType.COPROCESSOR_REPLY:
            header = ReplyHeader.parse(reply)
            control = Cprbx.parse(reply[header.offset1 :])
            if not header.reply_code and not control.return_code:
                return int.from_bytes(reply[_RESULT_AT : _RESULT_AT + self.key.length], "big")
            raise BadReply(f"the card answered {control.return_code}/{control.reason_code}")
        raise BadReply(f"the card answered reply code {reply[4]:02x}")

    def is_right(self, result: int) -> bool:
        """Check a result with plain arithmetic: RSA is one to one, so a private result is tested backwards."""
        key = self.key
        if self.crt:
            return 0 <= result < key.n and pow(result, key.e, key.n) == self.value
        return result == pow(self.value, key.e, key.n)

    def _accelerator_message(self) -> bytes:
        key = self.key
        size = next(size for size in _ACCELERATOR_SIZES if key.length <= size)
        number = _ACCELERATOR_SIZES.index(size) + 1
        if self.crt:
            parts = (key.p, key.q, key.dp, key.dq, key.u)
            operands = _bytes(size // 2, *parts) + _bytes(size, self.value)
            number |= 0x10
        else:
            operands = _bytes(size, key.e, key.n, self.value)
        header = AcceleratorHeader(
            message_type=MessageType.ACCELERATOR_REQUEST, length=16 + len(operands), format=number
        )
        return bytes(header) + operands

    def _cca_message(self, domain: int) -> bytes:
        length = self.key.length
        name, rule, keys = (
            (b"PD", b"ZERO-PAD", self._crt_key_block()) if self.crt else (b"PK", b"MRP     ", self._key_block())
        )
        parameters = name + _block(rule) + _block(_bytes(length, self.value)) + _block(keys)
        control = Cprbx(
            length=_CPRBX_SIZE,
            version=2,
            function_id=b"T2",
            request_parameters=len(parameters),
            reply_room=len(parameters) if self.crt else REPLY_ROOM,
            domain=domain,
        )
        header = RequestHeader(
            message_type=MessageType.COPROCESSOR_REQUEST,
            offset1=_HEADER_SIZE,
            agent=b"CA",
            function_code=name,
            to_card1=_CPRBX_SIZE + len(parameters),
            from_card1=REPLY_ROOM,
        )
        return bytes(header) + bytes(control) + parameters

    def _key_block(self) -> bytes:
        length = self.key.length
        section = b"\x04\x00" + _bytes(2, 2 * length + 12, 0, length, 8 * length, length)
        return _token(section + _bytes(length, self.key.e, self.key.n))

    def _crt_key_block(self) -> bytes:
        key, length = self.key, self.key.length
        short = (length + 1) // 2
        long = short + 8
        padding = -(3 * long + 2 * short) % 8
        lengths = _bytes(2, long, short, long, short, long, length)
        numbers = b"".join(
            _bytes(size, number)
            for size, number in ((long, key.p), (short, key.q), (long, key.dp), (short, key.dq), (long, key.u))
        )
        body = (
            bytes(24)
            + b"\x40"
            + bytes(21)
            + b"\x80\0\0\0"
            + lengths
            + bytes(4)
            + _bytes(2, padding)
            + bytes(60)
            + numbers
            + bytes(padding)
            + b"\xff" * length  # the card takes p times q for the modulus
        )
        public = b"\x04\0" + _bytes(2, 15, 0, 3, 8 * length, 0) + b"\x01\0\x01"
        return _token(b"\x08\0" + _bytes(2, len(body) + 4) + body + public)


def _bytes(size: int, *numbers: int) -> bytes:
    return b"".join(number.to_bytes(size, "big") for number in numbers)


def _block(content: bytes) -> bytes:
    """A parameter block: its length, itself included, and the content."""
    return _bytes(2, len(content) + 2) + content


def _token(sections: bytes) -> bytes:
    """A key part: length, flags, and a key token made of ``sections``."""
    token = b"\x1e\0" + _bytes(2, len(sections) + 8) + bytes(4) + sections
    return _bytes(2, len(token) + 4, 0) + token
