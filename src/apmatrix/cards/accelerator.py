"""The accelerator: raw RSA with keys in the clear (hardware.md 3.1 to 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final

import gmpy2  # type: ignore[import-untyped]

from apmatrix.arch.messages import AcceleratorReply, AcceleratorRequest, MessageType, ReplyCode
from apmatrix.cards.arithmetic import CrtKey, crt, modexp
from apmatrix.cards.firmware import Firmware, Request
from apmatrix.cards.messages import RefusedMessage, error_reply, message_type

if TYPE_CHECKING:
    from apmatrix.arch import CardFunctions


@dataclass(frozen=True)
class _Format:
    """Where the operands of one format lie; the result is as long as the last of them."""

    operands: tuple[slice, ...]
    length: int
    reply_header: bytes
    result_length: int

    @classmethod
    def of(cls, *sizes: int) -> _Format:
        bounds = accumulate(sizes, initial=AcceleratorRequest.SIZE)
        operands = tuple(slice(start, end) for start, end in pairwise(bounds))
        header = AcceleratorReply(length=AcceleratorReply.SIZE + sizes[-1])
        return cls(operands, operands[-1].stop, bytes(header), sizes[-1])

    def read(self, message: bytes) -> list[int]:
        """The operands of a message as numbers, in the order of the format."""
        return [int.from_bytes(message[part], "big") for part in self.operands]

    def reply(self, result: int) -> bytes:
        """The type 80 reply."""
        return self.reply_header + result.to_bytes(self.result_length, "big")


def _modexpo(size: int) -> _Format:
    return _Format.of(size, size, size)


def _crt(size: int) -> _Format:
    return _Format.of(*(size // 2,) * 5, size)


_MODEXPO_FORMATS: Final = {1: _modexpo(128), 2: _modexpo(256), 3: _modexpo(512)}
_CRT_FORMATS: Final = {0x11: _crt(128), 0x12: _crt(256), 0x13: _crt(512)}
_FORMAT_MODEXPO_4K: Final = 3
_FORMAT_CRT_4K: Final = 0x13


class Accelerator(Firmware):
    """RSA in both forms, up to 2048 bits, or 4096 where the facility bits M and C allow it."""

    def __init__(self, functions: CardFunctions) -> None:
        self._modexpo = dict(_MODEXPO_FORMATS)
        self._crt = dict(_CRT_FORMATS)
        if not functions.modexpo_4k:
            del self._modexpo[_FORMAT_MODEXPO_4K]
        if not functions.crt_4k:
            del self._crt[_FORMAT_CRT_4K]

    def process(self, domain: int, request: Request) -> bytes:
        """The type 80 reply, or type 82 with the reason."""
        del domain
        try:
            return self._answer(request.message)
        except RefusedMessage as refusal:
            return error_reply(refusal.code)

    def _answer(self, message: bytes) -> bytes:
        if message_type(message) != MessageType.ACCELERATOR_REQUEST:
            raise RefusedMessage(ReplyCode.MESSAGE_TYPE)
        if len(message) < AcceleratorRequest.SIZE:
            raise RefusedMessage(ReplyCode.INVALID_LENGTH)
        header = AcceleratorRequest.parse(message)
        form = self._modexpo.get(header.format) or self._crt.get(header.format)
        if form is None:
            raise RefusedMessage(ReplyCode.FORMAT_FIELD)
        if not header.length == form.length == len(message):
            raise RefusedMessage(ReplyCode.INVALID_LENGTH)
        operands = form.read(message)
        if header.format in self._modexpo:
            exponent, modulus, value = operands
            return form.reply(raw_modexpo(value, exponent, modulus))
        *key, value = operands
        return form.reply(raw_crt(value, CrtKey(*key)))


def raw_modexpo(value: int, exponent: int, modulus: int) -> int:
    """RSA with modulus and exponent; RefusedMessage for an even modulus (85), zero or too big a value (82)."""
    if not modulus or value >= modulus:
        raise RefusedMessage(ReplyCode.OPERAND_INVALID)
    if not modulus & 1:
        raise RefusedMessage(ReplyCode.EVEN_MODULUS)
    return modexp(value, exponent, modulus)


def raw_crt(value: int, key: CrtKey) -> int:
    """RSA with a key in CRT form; RefusedMessage as for :func:`raw_modexpo`, or if u does not fit p and q."""
    p, q = gmpy2.mpz(key.p), gmpy2.mpz(key.q)
    modulus = p * q
    if not modulus or value >= modulus:
        raise RefusedMessage(ReplyCode.OPERAND_INVALID)
    if not modulus.is_odd():
        raise RefusedMessage(ReplyCode.EVEN_MODULUS)
    if key.u * q % p != 1:
        raise RefusedMessage(ReplyCode.OPERAND_INVALID)
    return crt(value, key)
