"""The CCA coprocessor's firmware: control blocks in, verbs by function code, control blocks out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.cards.cca import random, rsa
from apmatrix.cards.cca.blocks import Parameters
from apmatrix.cards.cca.errors import CcaError, Reason
from apmatrix.cards.cca.verb import Call, Result
from apmatrix.cards.coprocessor import Coprocessor, Target
from apmatrix.cards.messages import (
    CPRBX_VERSION,
    CoprocessorRequest,
    Cprbx,
    RefusedMessage,
    ReplyCode,
    coprocessor_reply,
)

if TYPE_CHECKING:
    from apmatrix.cards.cca.verb import Verbs

_CPRBX_SIZE: Final = 220
_USAGE: Final = b"T2"
_ADMINISTRATIVE: Final = frozenset((b"T3", b"T5", b"T6", b"T7"))
_SPECIAL: Final = frozenset((b"US", b"AU"))


class CcaFirmware(Coprocessor):
    """One CCA card."""

    def __init__(self) -> None:
        self._verbs: Verbs = {**rsa.VERBS, **random.VERBS}

    def target(self, domain: int, request: CoprocessorRequest) -> Target:
        """The CPRBX names the domain; the function ids T3 and T5 to T7 are administrative (hardware.md 5.1)."""
        del domain
        control = _control_block(request)
        return Target(control.domain, control.function_id in _ADMINISTRATIVE)

    def execute(self, domain: int, request: CoprocessorRequest, *, special: bool) -> bytes:
        """Run the verb; whatever it refuses still gets a complete CPRBX with all blocks."""
        control = _control_block(request)
        start = _CPRBX_SIZE
        block = request.control[start : start + control.request_parameters]
        if len(block) < control.request_parameters:
            raise RefusedMessage(ReplyCode.PACKET_TRUNCATED)
        function = block[:2]
        if function in _SPECIAL and not special:
            raise RefusedMessage(ReplyCode.INVALID_SPECIAL_COMMAND)
        try:
            room = min(request.header.from_card2, control.reply_data_room)
            result = self._run(Call(domain, control, Parameters.parse(block), room))
        except CcaError as error:
            return _reply(control, function, Result(), error)
        return _reply(control, function, result)

    def refusal(self, request: CoprocessorRequest, code: ReplyCode) -> bytes:
        """The request's control block and function code with ``code``."""
        function = request.control[_CPRBX_SIZE : _CPRBX_SIZE + 2]
        return _reply(_control_block(request), function, Result(), code=code)

    def _run(self, call: Call) -> Result:
        verb = self._verbs.get(call.parameters.function)
        if verb is None or call.control.function_id != _USAGE:
            raise CcaError(Reason.UNKNOWN_FUNCTION)
        return verb(call)


def _control_block(request: CoprocessorRequest) -> Cprbx:
    """The CPRBX; RefusedMessage if it is none."""
    if len(request.control) < _CPRBX_SIZE:
        raise RefusedMessage(ReplyCode.MESSAGE_LENGTH)
    control = Cprbx.parse(request.control)
    if control.length != _CPRBX_SIZE or control.version != CPRBX_VERSION:
        raise RefusedMessage(ReplyCode.FORMAT_FIELD)
    if control.reserved:
        raise RefusedMessage(ReplyCode.RESERVED_FIELD)
    return control


def _reply(
    control: Cprbx,
    function: bytes,
    result: Result,
    error: CcaError | None = None,
    code: ReplyCode = ReplyCode.NORMAL,
) -> bytes:
    parameters = Parameters(function.ljust(2, b"\0"), result.rules, result.vud, result.keys).build()
    answer = Cprbx(
        length=_CPRBX_SIZE,
        version=CPRBX_VERSION,
        function_id=control.function_id,
        replied_parameters=len(parameters),
        replied_data=len(result.data),
        return_code=error.return_code if error else 0,
        reason_code=error.reason_code if error else 0,
        domain=control.domain,
    )
    return coprocessor_reply(bytes(answer) + parameters, result.data, code)
