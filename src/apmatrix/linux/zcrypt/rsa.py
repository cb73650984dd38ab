"""RSA requests: what a program gives, and the messages that Linux makes of it (hardware.md 3.1, 3.7)."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import Final

from apmatrix.arch import Mode
from apmatrix.arch.messages.tokens import (
    CLEAR_KEY,
    EXTERNAL,
    PkaTokenHeader,
    RsaPrivateSection,
    RsaPublicSection,
)
from apmatrix.linux.zcrypt.messages import accelerator_message, cca_control, cca_message
from apmatrix.rules.refusals import Failed

REPLY_ROOM: Final = 0x724
_SIZES: Final = (128, 256, 512)
_CRT_FORMAT: Final = 0x10
_USE_FLAGS: Final = 0x8000_0000
_DUMMY_EXPONENT: Final = b"\x01\x00\x01"


@dataclass(frozen=True, slots=True)
class ModExpo:
    """``data ^ exponent mod modulus``; all three as long as the modulus, of which cards take up to 512 bytes."""

    data: bytes = field(repr=False)
    exponent: bytes = field(repr=False)
    modulus: bytes = field(repr=False)

    crt = False

    @property
    def length(self) -> int:
        """The length of the modulus and of the result in bytes."""
        return len(self.data)

    def check(self) -> None:
        """Failed (EINVAL) if the lengths do not fit."""
        if not len(self.exponent) == len(self.modulus) == self.length:
            raise Failed("the operands of a modular exponentiation have different lengths", number=errno.EINVAL)

    def accelerator_message(self) -> bytes:
        """The type 50 message for an accelerator; operands are padded to the size of the format."""
        size = _size(self.length)
        return _type50(
            0, size, b"".join(part.rjust(size, b"\0") for part in (self.exponent, self.modulus, self.data))
        )

    def cca_message(self, domain: int) -> bytes:
        """The type 06 message for a CCA coprocessor, with the verb "PK"."""
        length = self.length
        section = RsaPublicSection(
            length=RsaPublicSection.SIZE + 2 * length,
            exponent_length=length,
            modulus_bits=8 * length,
            modulus_length=length,
        )
        key = _key_part(bytes(section) + self.exponent + self.modulus)
        return _type06(domain, b"PK", b"MRP     ", self.data, key, REPLY_ROOM)


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
        """The length of the modulus and of the result in bytes."""
        return len(self.data)

    @property
    def short(self) -> int:
        """The length of ``q`` and ``dq`` in bytes."""
        return (self.length + 1) // 2

    def check(self) -> None:
        """Failed (EINVAL) if the lengths do not fit."""
        long, short = self.short + 8, self.short
        fits = tuple(map(len, (self.p, self.q, self.dp, self.dq, self.u))) == (long, short, long, short, long)
        if not fits:
            raise Failed("the parts of an RSA key in CRT form have wrong lengths", number=errno.EINVAL)

    def accelerator_message(self) -> bytes:
        """The type 50 message for an accelerator; the padding of p, dp and u is left out."""
        size = _size(self.length)
        parts = (self.p[8:], self.q, self.dp[8:], self.dq, self.u[8:])
        operands = b"".join(part.rjust(size // 2, b"\0") for part in parts) + self.data.rjust(size, b"\0")
        return _type50(_CRT_FORMAT, size, operands)

    def cca_message(self, domain: int) -> bytes:
        """The type 06 message with the verb "PD". The card computes the modulus from p and q: its field is FF."""
        length, short = self.length, self.short
        long = short + 8
        numbers = self.p + self.q + self.dp + self.dq + self.u
        pad = -len(numbers) % 8
        private = RsaPrivateSection(
            length=RsaPrivateSection.SIZE + len(numbers) + pad + length,
            key_format=CLEAR_KEY,
            use_flags=_USE_FLAGS,
            p_length=long,
            q_length=short,
            dp_length=long,
            dq_length=short,
            u_length=long,
            modulus_length=length,
            pad_length=pad,
        )
        public = RsaPublicSection(
            length=RsaPublicSection.SIZE + len(_DUMMY_EXPONENT),
            exponent_length=len(_DUMMY_EXPONENT),
            modulus_bits=8 * length,
        )
        placeholder = bytes(pad) + b"\xff" * length
        key = _key_part(b"".join((bytes(private), numbers, placeholder, bytes(public), _DUMMY_EXPONENT)))
        return _type06(domain, b"PD", b"ZERO-PAD", self.data, key, None)


RsaRequest = ModExpo | ModExpoCrt


def build(request: RsaRequest, mode: Mode, domain: int) -> bytes:
    """The message for a card of that mode."""
    return request.accelerator_message() if mode is Mode.ACCELERATOR else request.cca_message(domain)


def _size(length: int) -> int:
    return next(size for size in _SIZES if length <= size)


def _type50(form: int, size: int, operands: bytes) -> bytes:
    return accelerator_message(form | _SIZES.index(size) + 1, operands)


def _block(content: bytes) -> bytes:
    """A parameter block: its length, itself included, and the content."""
    return (len(content) + 2).to_bytes(2, "big") + content


def _key_part(sections: bytes) -> bytes:
    """A key part: length, flags, and a key token made of ``sections``."""
    token = PkaTokenHeader(token_type=EXTERNAL, length=PkaTokenHeader.SIZE + len(sections))
    return _block(bytes(2) + bytes(token) + sections)


def _type06(domain: int, verb: bytes, rule: bytes, data: bytes, key: bytes, room: int | None) -> bytes:
    """``room`` for the reply, None for as many bytes as the request has (a quirk, 3.7)."""
    parameters = verb + _block(rule) + _block(data) + _block(key)
    control = cca_control(parameters, domain, reply_room=len(parameters) if room is None else room)
    return cca_message(control, verb, reply_room=REPLY_ROOM)
