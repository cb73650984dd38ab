"""What Linux makes of a card's reply (hardware.md 3.2, 3.3, 3.7)."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Final

from apmatrix.cards.messages import CPRBX_VERSION, AcceleratorHeader, Cprbx, MessageType, ReplyHeader, message_type
from apmatrix.linux.errors import Failed

_RESULT: Final = 274
_LENGTH_OF_RESULT: Final = 272
_CONTROL: Final = 48
_SHORTEST_ACCELERATOR_REPLY: Final = 16
_TOO_LONG_FOR_THE_CARD: Final = 0x14F

_USER_ERRORS: Final = frozenset((0x22, 0x23, 0x24, 0x29, 0x34, 0x40, 0x41, 0x80, 0x82, 0x84, 0x85, 0x8A, 0x8B, 0xA0))
_USER_RETURN_CODES: Final = frozenset(((8, 65), (8, 66), (8, 72), (8, 770), (12, 769)))


@dataclass(frozen=True, slots=True)
class Offline:
    """The reply makes Linux stop using the queue; ``why`` is what the kernel log says."""

    why: str


class ReplyError(Failed):
    """A reply that is no answer. ``offline`` is set if it takes the queue out of service."""

    def __init__(self, number: int, message: str, offline: Offline | None = None) -> None:
        super().__init__(message, number=number)
        self.offline = offline


def error_of(reply_code: int) -> ReplyError:
    """The errno for a reply code (hardware.md 3.3): the user's fault, or one to try again."""
    number = errno.EINVAL if reply_code in _USER_ERRORS else errno.EAGAIN
    return ReplyError(number, f"the card answered with reply code {reply_code:02x}")


def broken(reply: bytes) -> ReplyError:
    """A reply that Linux cannot take for one of this card's."""
    kind = message_type(reply)
    why = f"unknown response type 0x{kind & 0xFF:02x}"
    return ReplyError(errno.EAGAIN, f"the card's reply has an {why}", Offline(why))


def short_error(reply: bytes, *, ep11: bool = False) -> ReplyError | None:
    """The error of a reply of type 82 or 88 (EP11: 82 or 87); None for another type."""
    second = MessageType.ERROR_EP11 if ep11 else MessageType.ERROR_88
    if message_type(reply) in (MessageType.ERROR, second) and len(reply) >= 5:
        return error_of(reply[4])
    return None


def accelerator_result(reply: bytes, length: int) -> bytes:
    """The last ``length`` bytes of a type 80 reply. Raises ReplyError."""
    if error := short_error(reply):
        raise error
    if message_type(reply) != MessageType.ACCELERATOR_REPLY or len(reply) < _SHORTEST_ACCELERATOR_REPLY:
        raise broken(reply)
    told = AcceleratorHeader.parse(reply).length
    if told != len(reply):
        raise ReplyError(errno.EMSGSIZE, f"a reply of {len(reply)} bytes tells a length of {told}")
    if told < _SHORTEST_ACCELERATOR_REPLY + length:
        raise ReplyError(errno.EAGAIN, "the card's reply is too short", Offline(f"code=0x{reply[4]:02x}"))
    return reply[-length:]


def cca_result(reply: bytes, length: int) -> bytes:
    """The result in a type 86 reply to PK or PD, ``length`` bytes. Raises ReplyError."""
    if error := short_error(reply):
        raise error
    if message_type(reply) != MessageType.COPROCESSOR_REPLY or len(reply) < _RESULT:
        raise broken(reply)
    header, control = ReplyHeader.parse(reply), Cprbx.parse(reply[_CONTROL:])
    code, reason = control.return_code, control.reason_code
    told = _RESULT + int.from_bytes(reply[_LENGTH_OF_RESULT:_RESULT], "big")
    if told != len(reply):
        raise ReplyError(errno.EMSGSIZE, f"a reply of {len(reply)} bytes tells a length of {told}")
    if code and reason == _TOO_LONG_FOR_THE_CARD and length > 256:
        raise ReplyError(errno.EINVAL, "the exponent is too long for the card")
    if header.reply_code:
        raise error_of(header.reply_code)
    if control.version != CPRBX_VERSION:
        raise broken(reply)
    if code:
        if (code, reason) in _USER_RETURN_CODES:
            raise ReplyError(errno.EINVAL, f"the card answered {code}/{reason}")
        why = f"rc/rs={code}/{reason}"
        raise ReplyError(errno.EAGAIN, f"the card answered {code}/{reason}", Offline(why))
    return reply[_RESULT : told - 2].rjust(length, b"\0")[-length:]
