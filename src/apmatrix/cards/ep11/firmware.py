"""The EP11 coprocessor's firmware: control blocks and payloads in and out, functions by number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.arch.messages import Ep11Cprb, ReplyCode
from apmatrix.cards.coprocessor import Coprocessor, Sender, Target
from apmatrix.cards.ep11 import admin, info, keys
from apmatrix.cards.ep11.call import FunctionCall
from apmatrix.cards.ep11.errors import Ep11Error, ReturnValue
from apmatrix.cards.ep11.payload import Payload
from apmatrix.cards.messages import CoprocessorRequest, RefusedMessage, coprocessor_reply

if TYPE_CHECKING:
    from apmatrix.cards.context import CardContext
    from apmatrix.cards.ep11.call import Handlers

_USAGE: Final[Handlers] = {**info.FUNCTIONS, **keys.FUNCTIONS}
_SPECIAL: Final = frozenset((33,))


class Ep11Firmware(Coprocessor):
    """The firmware of one EP11 card: executes functions with the keys in ``card``."""

    def __init__(self, card: CardContext) -> None:
        self._card = card

    def target(self, domain: int, request: CoprocessorRequest) -> Target:
        """The control block names the domain, and whether the command is administrative (hardware.md 5.1)."""
        del domain
        control = _control_block(request)
        return Target(control.target, control.administrative)

    def execute(self, sender: Sender, request: CoprocessorRequest) -> bytes:
        """Run the function; what it refuses gets its return value in a complete reply."""
        control = _control_block(request)
        command = _command(request, control)
        special = control.special or command.number in _SPECIAL
        if special and not sender.special:
            raise RefusedMessage(ReplyCode.INVALID_SPECIAL_COMMAND)
        handler = (admin.FUNCTIONS if control.administrative else _USAGE).get(command.number)
        try:
            if command.domain != control.target:
                raise Ep11Error(ReturnValue.ARGUMENTS_BAD)
            if handler is None:
                raise Ep11Error(ReturnValue.FUNCTION_NOT_SUPPORTED)
            data = handler(FunctionCall(self._card, command, sender.control_domains))
        except Ep11Error as error:
            return _reply(control, command.reply(error.value))
        return _reply(control, command.reply(ReturnValue.OK, data))

    def refusal(self, request: CoprocessorRequest, code: ReplyCode, final_status: int = 0) -> bytes:
        """The request's control block with ``code``."""
        control = _control_block(request)
        payload = _command(request, control).reply(ReturnValue.ARGUMENTS_BAD)
        return _reply(control, payload, code, final_status)


def _control_block(request: CoprocessorRequest) -> Ep11Cprb:
    """The CPRB; RefusedMessage if the control block is not one."""
    if len(request.control) < Ep11Cprb.SIZE:
        raise RefusedMessage(ReplyCode.MESSAGE_LENGTH)
    try:
        return Ep11Cprb.parse(request.control)
    except ValueError:
        raise RefusedMessage(ReplyCode.FORMAT_FIELD) from None


def _command(request: CoprocessorRequest, control: Ep11Cprb) -> Payload:
    payload = request.control[Ep11Cprb.SIZE : Ep11Cprb.SIZE + control.payload_length]
    if len(payload) < control.payload_length:
        raise RefusedMessage(ReplyCode.PACKET_TRUNCATED)
    return Payload.parse(payload)


def _reply(control: Ep11Cprb, payload: bytes, code: ReplyCode = ReplyCode.NORMAL, final_status: int = 0) -> bytes:
    answer = Ep11Cprb(
        function_id=control.function_id,
        target=control.target,
        payload_length=len(payload),
    )
    return coprocessor_reply(bytes(answer) + payload, code=code, final_status=final_status)
