"""The accelerator: raw RSA with keys in the clear (hardware.md 3.1 to 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Final

import gmpy2  # type: ignore[import-untyped]

from apmatrix.arch.messages import AcceleratorReply, AcceleratorRequest, MessageType, ReplyCode
from apmatrix.cards.arithmetic import CrtKey, crt, modexp
from apmatrix.cards.firmware import Firmware, Request
from apmatrix.cards.messages import RefusedMessage, error_reply, message_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.arch import CardFunctions


@dataclass(frozen=True)
class _Format:
    """How the operands of one format lie behind the header, and what they are for; the last one is the input.

    The result is as long as the input.
    """

    operands: Struct
    compute: Callable[..., int]
    reply_header: bytes
    result_length: int

    @classmethod
    def of(cls, compute: Callable[..., int], *sizes: int) -> _Format:
        operands = Struct(f"{AcceleratorRequest.SIZE}x{''.join(f'{size}s' for size in sizes)}")
        header = AcceleratorReply(length=AcceleratorReply.SIZE + sizes[-1])
        return cls(operands, compute, bytes(header), sizes[-1])

    def answer(self, message: bytes) -> bytes:
        """The type 80 reply to a message of this format; RefusedMessage for unfit operands."""
        result = self.compute(*map(int.from_bytes, self.operands.unpack(message)))
        return self.reply_header + result.to_bytes(self.result_length, "big")


def _modexpo(exponent: int, modulus: int, value: int) -> int:
    return raw_modexpo(value, exponent, modulus)


def _crt(p: int, q: int, dp: int, dq: int, u: int, value: int) -> int:
    return raw_crt(value, CrtKey(p, q, dp, dq, u))


_FORMATS: Final = {
    **{0x01 + step: _Format.of(_modexpo, *(size,) * 3) for step, size in enumerate((128, 256, 512))},
    **{0x11 + step: _Format.of(_crt, *(size // 2,) * 5, size) for step, size in enumerate((128, 256, 512))},
}
_FORMAT_MODEXPO_4K: Final = 0x03
_FORMAT_CRT_4K: Final = 0x13
_REQUEST: Final = MessageType.ACCELERATOR_REQUEST  # a module's name is read faster than a member of an enumeration


class Accelerator(Firmware):
    """RSA in both forms, up to 2048 bits, or 4096 where the facility bits M and C allow it."""

    def __init__(self, functions: CardFunctions) -> None:
        self._formats = dict(_FORMATS)
        if not functions.modexpo_4k:
            del self._formats[_FORMAT_MODEXPO_4K]
        if not functions.crt_4k:
            del self._formats[_FORMAT_CRT_4K]
        self._form = lru_cache(maxsize=64)(self._read_header)  # all requests of a format have the same header

    def process(self, domain: int, request: Request) -> bytes:
        """The type 80 reply, or type 82 with the reason."""
        del domain
        try:
            return self._answer(request.message)
        except RefusedMessage as refusal:
            return error_reply(refusal.code)

    def _answer(self, message: bytes) -> bytes:
        if message_type(message) != _REQUEST:
            raise RefusedMessage(ReplyCode.MESSAGE_TYPE)
        if len(message) < AcceleratorRequest.SIZE:
            raise RefusedMessage(ReplyCode.INVALID_LENGTH)
        form = self._form(message[: AcceleratorRequest.SIZE])
        if len(message) != form.operands.size:
            raise RefusedMessage(ReplyCode.INVALID_LENGTH)
        return form.answer(message)

    def _read_header(self, data: bytes) -> _Format:
        header = AcceleratorRequest.parse(data)
        form = self._formats.get(header.format)
        if form is None:
            raise RefusedMessage(ReplyCode.FORMAT_FIELD)
        if header.length != form.operands.size:
            raise RefusedMessage(ReplyCode.INVALID_LENGTH)
        return form


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
