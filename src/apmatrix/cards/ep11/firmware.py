"""The EP11 coprocessor's firmware: control blocks and payloads in and out, functions by number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from apmatrix.cards.coprocessor import Coprocessor, Target
from apmatrix.cards.ep11.errors import Ep11Error, ReturnValue
from apmatrix.cards.ep11.payload import Command
from apmatrix.cards.messages import (
    EP11_ADMINISTRATIVE,
    EP11_CPRB_VERSION,
    EP11_SPECIAL,
    CoprocessorRequest,
    Ep11Cprb,
    RefusedMessage,
    ReplyCode,
    coprocessor_reply,
)

Handler: TypeAlias = Callable[[Command], bytes]
"""A function: the reply's data; Ep11Error if it refuses."""

_CPRB_SIZE: Final = 32


class Ep11Firmware(Coprocessor):
    """One EP11 card."""

    def __init__(self) -> None:
        self._functions: Mapping[int, Handler] = {}

    def target(self, domain: int, request: CoprocessorRequest) -> Target:
        """The control block names the domain; flag 80 makes the command administrative (hardware.md 5.1)."""
        del domain
        control = _control_block(request)
        return Target(control.target, bool(control.flags & EP11_ADMINISTRATIVE))

    def execute(self, domain: int, request: CoprocessorRequest, *, special: bool) -> bytes:
        """Run the function; what it refuses gets its return value in a complete reply."""
        del domain
        control = _control_block(request)
        command = _command(request, control)
        if control.flags & EP11_SPECIAL and not special:
            raise RefusedMessage(ReplyCode.INVALID_SPECIAL_COMMAND)
        try:
            if command.domain != control.target:
                raise Ep11Error(ReturnValue.ARGUMENTS_BAD)
            return _reply(control, command.reply(ReturnValue.OK, self._run(command)))
        except Ep11Error as error:
            return _reply(control, command.reply(error.value))

    def refusal(self, request: CoprocessorRequest, code: ReplyCode) -> bytes:
        """The request's control block with ``code``."""
        control = _control_block(request)
        return _reply(control, _command(request, control).reply(ReturnValue.ARGUMENTS_BAD), code)

    def _run(self, command: Command) -> bytes:
        handler = self._functions.get(command.number)
        if handler is None:
            raise Ep11Error(ReturnValue.FUNCTION_NOT_SUPPORTED)
        return handler(command)


def _control_block(request: CoprocessorRequest) -> Ep11Cprb:
    """The CPRB; RefusedMessage if it is none."""
    if len(request.control) < _CPRB_SIZE:
        raise RefusedMessage(ReplyCode.MESSAGE_LENGTH)
    control = Ep11Cprb.parse(request.control)
    if control.length != _CPRB_SIZE or control.version != EP11_CPRB_VERSION:
        raise RefusedMessage(ReplyCode.FORMAT_FIELD)
    return control


def _command(request: CoprocessorRequest, control: Ep11Cprb) -> Command:
    payload = request.control[_CPRB_SIZE : _CPRB_SIZE + control.payload_length]
    if len(payload) < control.payload_length:
        raise RefusedMessage(ReplyCode.PACKET_TRUNCATED)
    return Command.parse(payload)


def _reply(control: Ep11Cprb, payload: bytes, code: ReplyCode = ReplyCode.NORMAL) -> bytes:
    answer = Ep11Cprb(
        length=_CPRB_SIZE,
        version=EP11_CPRB_VERSION,
        function_id=control.function_id,
        target=control.target,
        payload_length=len(payload),
    )
    return coprocessor_reply(bytes(answer) + payload, code=code)
