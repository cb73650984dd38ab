"""RSA requests: what a program gives, and the messages that Linux makes of it (hardware.md 3.1, 3.7)."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import Final

from apmatrix.arch import Mode
from apmatrix.cards.messages import AcceleratorHeader, Cprbx, MessageType, RequestHeader
from apmatrix.rules.refusals import Failed

REPLY_ROOM: Final = 0x724
_SIZES: Final = (128, 256, 512)
_CPRBX_SIZE: Final = 220
_HEADER_SIZE: Final = 88
_CRT_FORMAT: Final = 0x10


@dataclass(frozen=True, slots=True)
class ModExpo:
    """``data ^ exponent mod modulus``; all three as long as the modulus, of which cards take up to 512 bytes."""

    data: bytes = field(repr=False)
    exponent: bytes = field(repr=False)
    modulus: bytes = field(repr=False)

    crt = False

    @property
    def length(self) -> int:
        """Bytes of the modulus and of the result."""
        return len(self.data)

    def check(self) -> None:
        """Failed (EINVAL) if the lengths do not fit."""
        if not len(self.exponent) == len(self.modulus) == self.length:
            raise Failed("the operands of a modular exponentiation have different lengths", number=errno.EINVAL)

    def accelerator_message(self) -> bytes:
        """Type 50."""
        size = _size(self.length)
        return _type50(
            0, size, b"".join(part.rjust(size, b"\0") for part in (self.exponent, self.modulus, self.data))
        )

    def cca_message(self, domain: int) -> bytes:
        """Type 06 with "PK"."""
        length = self.length
        section = b"\x04\x00" + _bytes(2, 2 * length + 12, 0, length, 8 * length, length)
        token = _token(section + self.exponent + self.modulus)
        return _type06(domain, b"PK", b"MRP     ", self.data, token, REPLY_ROOM)


@dataclass(frozen=True, slots=True)
class ModExpoCrt:
    """RSA with a private key in Chinese-remainder form.

    ``p``, ``dp`` and ``u`` (q inverse mod p) have half the length of ``data`` and eight bytes of padding in front,
    ``q`` and ``dq`` half the length.
    """

    data: bytes = field(repr=False)
    p: bytes = field(repr=False)
    q: bytes = field(repr=False)
    dp: bytes = field(repr=False)
    dq: bytes = field(repr=False)
    u: bytes = field(repr=False)

    crt = True

    @property
    def length(self) -> int:
        """Bytes of the modulus and of the result."""
        return len(self.data)

    @property
    def short(self) -> int:
        """Bytes of ``q`` and ``dq``."""
        return (self.length + 1) // 2

    def check(self) -> None:
        """Failed (EINVAL) if the lengths do not fit."""
        long, short = self.short + 8, self.short
        fits = tuple(map(len, (self.p, self.q, self.dp, self.dq, self.u))) == (long, short, long, short, long)
        if not fits:
            raise Failed("the parts of an RSA key in CRT form have wrong lengths", number=errno.EINVAL)

    def accelerator_message(self) -> bytes:
        """Type 50; the padding of p, dp and u is left out."""
        size = _size(self.length)
        parts = (self.p[8:], self.q, self.dp[8:], self.dq, self.u[8:])
        operands = b"".join(part.rjust(size // 2, b"\0") for part in parts) + self.data.rjust(size, b"\0")
        return _type50(_CRT_FORMAT, size, operands)

    def cca_message(self, domain: int) -> bytes:
        """Type 06 with "PD". The card computes the modulus from p and q: its field is filled with FF."""
        length, short = self.length, self.short
        long = short + 8
        padding = -(3 * long + 2 * short) % 8
        lengths = _bytes(2, long, short, long, short, long, length)
        body = (
            bytes(24)
            + b"\x40"
            + bytes(21)
            + b"\x80\0\0\0"
            + lengths
            + bytes(4)
            + _bytes(2, padding)
            + bytes(60)
            + self.p
            + self.q
            + self.dp
            + self.dq
            + self.u
            + bytes(padding)
            + b"\xff" * length
        )
        public = b"\x04\0" + _bytes(2, 15, 0, 3, 8 * length, 0) + b"\x01\0\x01"
        token = _token(b"\x08\0" + _bytes(2, len(body) + 4) + body + public)
        return _type06(domain, b"PD", b"ZERO-PAD", self.data, token, None)


RsaRequest = ModExpo | ModExpoCrt


def build(request: RsaRequest, mode: Mode, domain: int) -> bytes:
    """The message for a card of that mode."""
    return request.accelerator_message() if mode is Mode.ACCELERATOR else request.cca_message(domain)


def _size(length: int) -> int:
    return next(size for size in _SIZES if length <= size)


def _bytes(size: int, *numbers: int) -> bytes:
    return b"".join(number.to_bytes(size, "big") for number in numbers)


def _type50(form: int, size: int, operands: bytes) -> bytes:
    header = AcceleratorHeader(
        message_type=MessageType.ACCELERATOR_REQUEST,
        length=AcceleratorHeader.WIDTH // 8 + len(operands),
        format=form | _SIZES.index(size) + 1,
    )
    return bytes(header) + operands


def _block(content: bytes) -> bytes:
    """A parameter block: its length, itself included, and the content."""
    return _bytes(2, len(content) + 2) + content


def _token(sections: bytes) -> bytes:
    """A key part: length, flags, and a key token made of ``sections``."""
    token = b"\x1e\0" + _bytes(2, len(sections) + 8) + bytes(4) + sections
    return _bytes(2, len(token) + 4, 0) + token


def _type06(domain: int, name: bytes, rule: bytes, data: bytes, keys: bytes, room: int | None) -> bytes:
    parameters = name + _block(rule) + _block(data) + _block(keys)
    control = Cprbx(
        length=_CPRBX_SIZE,
        version=2,
        function_id=b"T2",
        request_parameters=len(parameters),
        reply_room=len(parameters) if room is None else room,
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
