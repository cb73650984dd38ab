"""What Linux makes of a card's reply (hardware.md 3.2, 3.3, 3.5, 3.7, 3.8)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, NamedTuple

from apmatrix.arch.messages import AcceleratorReply, Cprbx, ErrorReply, MessageType, ReplyHeader
from apmatrix.arch.messages.cprb import CPRBX_VERSION
from apmatrix.rules.refusals import Failed

if TYPE_CHECKING:
    from collections.abc import Callable

_CONTROL: Final = ReplyHeader.SIZE
_VERSION: Final = _CONTROL + 2
_RESULT: Final = 274
_LENGTH_OF_RESULT: Final = slice(272, _RESULT)
_SHORT: Final = ErrorReply.SIZE
_EXPONENT_TOO_LONG: Final = 0x14F

_USER_ERRORS: Final = frozenset((0x22, 0x23, 0x24, 0x29, 0x34, 0x40, 0x41, 0x80, 0x82, 0x84, 0x85, 0x8A, 0x8B, 0xA0))
_USER_RETURN_CODES: Final = frozenset(((8, 65), (8, 66), (8, 72), (8, 770), (12, 769)))
_ERRORS: Final = (MessageType.ERROR, MessageType.ERROR_88)


class ReplyError(Failed):
    """A reply without an answer. ``offline`` is what the kernel log says if Linux takes the queue offline for it.

    ``scan`` is the number of the bus scan that ended the request, if one did.
    """

    def __init__(self, number: int, message: str, offline: str | None = None, *, scan: int | None = None) -> None:
        super().__init__(message, number=number)
        self.offline = offline
        self.scan = scan


class Reply(NamedTuple):
    """A reply, and what the receive buffer holds after it, which Linux also looks at (hardware.md 3.5)."""

    data: bytes
    behind: bytes = b""

    def __repr__(self) -> str:
        return f"<Reply of {len(self.data)} bytes>"

    @property
    def view(self) -> bytes:
        """The receive buffer, as far as Linux looks at it without asking for the length."""
        return (self.data + self.behind).ljust(_RESULT, b"\0")

    def taken(self, version: int, length: Callable[[bytes], int]) -> bytes:
        """What Linux copies from the buffer for the requester.

        A type 86 message with the right ``version`` of control block is taken whole; its ``length`` must be that
        of the reply (else ReplyError EMSGSIZE). Of all others Linux takes the first eight bytes.
        """
        view = self.view
        if view[1] != MessageType.COPROCESSOR_REPLY or view[_VERSION] != version:
            return view[:_SHORT]
        told = length(view)
        self.check_length(told)
        return view[:told]

    def check_length(self, told: int) -> None:
        """ReplyError (EMSGSIZE) if the reply's length is not ``told``, the one that it states."""
        if told != len(self.data):
            raise ReplyError(errno.EMSGSIZE, f"a reply of {len(self.data)} bytes states a length of {told}")


def length_of_blocks(view: bytes) -> int:
    """The length that a reply with control block and data states."""
    header = ReplyHeader.overlay(view)
    return header.offset2 + header.count2 if header.count2 else header.offset1 + header.count1


def error_of(message: bytes) -> ReplyError:
    """The errno for a reply code (hardware.md 3.3): the user's fault, or one to try again."""
    code = ErrorReply.parse(message).reply_code
    number = errno.EINVAL if code in _USER_ERRORS else errno.EAGAIN
    return ReplyError(number, f"the card answered with reply code {code:02x}")


def broken(message: bytes) -> ReplyError:
    """The error for a reply that Linux cannot take for one of this card's."""
    why = f"unknown response type 0x{message[1]:02x}"
    return ReplyError(errno.EAGAIN, f"the card's reply has an {why}", f"{why} => online=0")


def accelerator_result(reply: Reply, length: int) -> bytes:
    """The last ``length`` bytes of a type 80 reply. Raises ReplyError."""
    view = reply.view
    if view[1] in _ERRORS:
        raise error_of(view)
    if view[1] != MessageType.ACCELERATOR_REPLY:
        raise broken(view)
    told = AcceleratorReply.parse(view).length
    reply.check_length(told)
    if told < AcceleratorReply.SIZE + length:
        code = ErrorReply.parse(view).reply_code
        raise ReplyError(errno.EAGAIN, "the card's reply is too short", f"code=0x{code:02x} => online=0")
    return reply.data[-length:]


def cca_result(reply: Reply, length: int) -> bytes:
    """The result in a type 86 reply to PK or PD: ``length`` bytes, or fewer if the card gave fewer.

    Raises ReplyError.
    """
    message = reply.taken(CPRBX_VERSION, lambda view: _RESULT + _number(view[_LENGTH_OF_RESULT]))
    if message[1] in _ERRORS:
        raise error_of(message)
    whole = len(message) > _SHORT
    control = Cprbx.overlay(message[_CONTROL:]) if whole else Cprbx()
    if control.return_code and control.reason_code == _EXPONENT_TOO_LONG and length > 256:
        raise ReplyError(errno.EINVAL, "the exponent is too long for the card")
    if message[1] == MessageType.COPROCESSOR_REPLY and ErrorReply.parse(message).reply_code:
        raise error_of(message)
    if not whole:
        raise broken(message)
    _check_codes(control)
    result = _number(message[_LENGTH_OF_RESULT]) - 2
    if not 0 <= result <= length:
        raise ReplyError(errno.EMSGSIZE, f"the card gave {result} bytes where {length} were expected")
    return message[_RESULT : _RESULT + result]


def _check_codes(control: Cprbx) -> None:
    """ReplyError if the return and reason code of an RSA request say that it failed."""
    codes = (control.return_code, control.reason_code)
    if codes in _USER_RETURN_CODES:
        raise ReplyError(errno.EINVAL, "the card answered {}/{}".format(*codes))
    if control.return_code:
        raise ReplyError(
            errno.EAGAIN, "the card answered {}/{}".format(*codes), "rc/rs={}/{} online=0".format(*codes)
        )


def random_data(reply: Reply) -> bytes:
    """The bytes in a reply to RL. Raises ReplyError."""
    message = reply.taken(CPRBX_VERSION, length_of_blocks)
    refused = message[1] in _ERRORS or (
        message[1] == MessageType.COPROCESSOR_REPLY and ErrorReply.parse(message).reply_code
    )
    if refused:
        raise ReplyError(errno.EINVAL, "the card refused to make random numbers")
    if len(message) <= _CONTROL:
        raise broken(message)
    control = Cprbx.overlay(message[_CONTROL:])
    if control.return_code or control.reason_code:
        raise ReplyError(errno.EINVAL, f"the card answered {control.return_code}/{control.reason_code}")
    header = ReplyHeader.overlay(message)
    return message[header.offset2 : header.offset2 + header.count2]


def _number(field: bytes) -> int:
    return int.from_bytes(field, "big")
