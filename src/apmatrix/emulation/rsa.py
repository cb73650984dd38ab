"""RSA questions for the cards, and answers checked with Python's own ``pow``, which shares no code with them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.asymmetric import rsa

from apmatrix.arch.arguments import checked
from apmatrix.linux.zcrypt import ModExpo, ModExpoCrt

PADDING = 8
"""Bytes of padding in front of p, dp and u, as the zcrypt ioctl has them."""


@dataclass(frozen=True)
class RsaKey:
    """A private key with everything that both forms of request need; only the modulus is ever shown."""

    n: int
    e: int = field(repr=False)
    p: int = field(repr=False)
    q: int = field(repr=False)
    dp: int = field(repr=False)
    dq: int = field(repr=False)
    u: int = field(repr=False)

    @classmethod
    @checked
    def generate(cls, bits: int = 2048) -> Self:
        """A new random key with a modulus of ``bits`` bits."""
        return cls.of(rsa.generate_private_key(65537, bits))

    @classmethod
    @checked
    def of(cls, key: rsa.RSAPrivateKey) -> Self:
        """The key in a private key object of the library cryptography."""
        made = key.private_numbers()
        public = made.public_numbers
        return cls(public.n, public.e, made.p, made.q, made.dmp1, made.dmq1, made.iqmp)

    @property
    def length(self) -> int:
        """Bytes of the modulus."""
        return (self.n.bit_length() + 7) // 8


@dataclass(frozen=True)
class Question:
    """Raw RSA on ``value``: with the public exponent (ME), or with the private key in CRT form."""

    key: RsaKey
    value: int = field(repr=False)
    crt: bool

    @classmethod
    def random(cls, key: RsaKey, *, crt: bool) -> Self:
        """A question with a new random value."""
        return cls(key, secrets.randbelow(key.n), crt)

    @property
    def form(self) -> str:
        """The form of the request: ``ME`` or ``CRT``."""
        return "CRT" if self.crt else "ME"

    def request(self) -> ModExpo | ModExpoCrt:
        """The question as a program passes it to zcrypt."""
        key, length = self.key, self.key.length
        data = self.value.to_bytes(length, "big")
        if not self.crt:
            return ModExpo(data, key.e.to_bytes(length, "big"), key.n.to_bytes(length, "big"))
        short = (length + 1) // 2
        long = short + PADDING
        sizes = (long, short, long, short, long)
        numbers = (key.p, key.q, key.dp, key.dq, key.u)
        return ModExpoCrt(data, *(number.to_bytes(size, "big") for number, size in zip(numbers, sizes, strict=True)))

    def is_answered_by(self, answer: bytes) -> bool:
        """Check an answer with plain arithmetic; the private operation is checked by reversing it."""
        key, result = self.key, int.from_bytes(answer, "big")
        if self.crt:
            return result < key.n and pow(result, key.e, key.n) == self.value
        return result == pow(self.value, key.e, key.n)
