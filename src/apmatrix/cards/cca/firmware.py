"""The CCA coprocessor's firmware: control blocks in, verbs by function code, control blocks out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.arch.messages import Cprbx, ReplyCode
from apmatrix.arch.messages.cprb import CCA_ADMINISTRATIVE, CCA_MASTER_KEYS, CCA_USAGE
from apmatrix.cards.cca import admin, aeskeys, ecc, facility, pairs, protect, rng, rsa
from apmatrix.cards.cca.blocks import Parameters
from apmatrix.cards.cca.errors import CcaError, Reason
from apmatrix.cards.cca.verb import Result, VerbCall
from apmatrix.cards.coprocessor import NO_DOMAIN, Coprocessor, Sender, Target
from apmatrix.cards.messages import CoprocessorRequest, RefusedMessage, coprocessor_reply

if TYPE_CHECKING:
    from apmatrix.cards.cca.verb import Verbs
    from apmatrix.cards.context import CardContext

_SPECIAL: Final = frozenset((b"US", b"AU"))
_RSA: Final = frozenset((b"PK", b"PD"))
_VERBS: Final[dict[bytes, Verbs]] = {
    CCA_USAGE: {
        **rsa.VERBS,
        **rng.VERBS,
        **facility.VERBS,
        **aeskeys.VERBS,
        **protect.VERBS,
        **ecc.VERBS,
        **pairs.VERBS,
    },
    CCA_MASTER_KEYS: admin.VERBS,
}


class CcaFirmware(Coprocessor):
    """The firmware of one CCA card: executes verbs with the keys in ``card``."""

    def __init__(self, card: CardContext) -> None:
        self._card = card

    def target(self, domain: int, request: CoprocessorRequest) -> Target:
        """The CPRBX names the domain; the function ids T3 and T5 to T7 are administrative (hardware.md 5.1).

        apmatrix's own command for master keys names it in its parameters. Then the CPRBX must have that domain too,
        or the queue's, which Linux 7.2 puts there.
        """
        control = _control_block(request)
        block = _parameter_block(request, control)
        if control.function_id == CCA_MASTER_KEYS and block[:2] == admin.FUNCTION:
            try:
                wanted = admin.target_domain(Parameters.parse(block))
            except CcaError:
                raise RefusedMessage(ReplyCode.MALFORMED) from None
            consistent = control.domain in (wanted, domain)
            return Target(wanted if consistent else NO_DOMAIN, administrative=True)
        return Target(control.domain, control.function_id in CCA_ADMINISTRATIVE)

    def execute(self, sender: Sender, request: CoprocessorRequest) -> bytes:
        """Run the verb; whatever it refuses still gets a complete CPRBX with all blocks."""
        control = _control_block(request)
        block = _parameter_block(request, control)
        function = block[:2]
        if function in _SPECIAL and not sender.special:
            raise RefusedMessage(ReplyCode.INVALID_SPECIAL_COMMAND)
        try:
            verb = _VERBS.get(control.function_id, {}).get(function)
            if verb is None:
                raise CcaError(Reason.UNKNOWN_FUNCTION)
            room = min(request.header.from_card2, control.reply_data_room)
            parameters = Parameters.parse(block)
            result = verb(VerbCall(self._card, sender.domain, parameters, room, sender.control_domains))
        except CcaError as error:
            return _reply(control, function, Result(), error)
        return _reply(control, function, result)

    def refusal(self, request: CoprocessorRequest, code: ReplyCode, final_status: int = 0) -> bytes:
        """The request's control block and function code with ``code``."""
        control = _control_block(request)
        function = _parameter_block(request, control)[:2]
        return coprocessor_reply(
            _control(control, function, Result()),
            code=code,
            final_status=final_status,
            pass_through=function not in _RSA,
        )


def _control_block(request: CoprocessorRequest) -> Cprbx:
    """The CPRBX; RefusedMessage if the control block is not one."""
    if len(request.control) < Cprbx.SIZE:
        raise RefusedMessage(ReplyCode.MESSAGE_LENGTH)
    try:
        control = Cprbx.parse(request.control)
    except ValueError:
        raise RefusedMessage(ReplyCode.FORMAT_FIELD) from None
    if control.reserved:
        raise RefusedMessage(ReplyCode.RESERVED_FIELD)
    return control


def _parameter_block(request: CoprocessorRequest, control: Cprbx) -> bytes:
    block = request.control[Cprbx.SIZE : Cprbx.SIZE + control.request_parameters]
    if len(block) < control.request_parameters:
        raise RefusedMessage(ReplyCode.PACKET_TRUNCATED)
    return block


def _reply(control: Cprbx, function: bytes, result: Result, error: CcaError | None = None) -> bytes:
    answer = _control(control, function, result, error)
    return coprocessor_reply(answer, result.data, pass_through=function not in _RSA)


def _control(control: Cprbx, function: bytes, result: Result, error: CcaError | None = None) -> bytes:
    """The CPRBX and parameter block of a reply."""
    parameters = Parameters(function.ljust(2, b"\0"), result.rules, result.vud, result.keys).build()
    answer = Cprbx(
        function_id=control.function_id,
        replied_parameters=len(parameters),
        replied_data=len(result.data),
        return_code=error.return_code if error else 0,
        reason_code=error.reason_code if error else 0,
        domain=control.domain,
    )
    return bytes(answer) + parameters
