"""The administrative commands for master keys, from the sender's side (docs/administrative-commands.md).

A command is a message like any other: its sender needs a queue of the card, and the target among its control
domains.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from apmatrix.arch import KeySet, Mode
from apmatrix.arch.messages import Ep11Function
from apmatrix.arch.messages.cprb import CCA_MASTER_KEYS
from apmatrix.arch.messages.ep11info import Ep11DomainInfo
from apmatrix.cards.cca.admin import FUNCTION
from apmatrix.cards.cca.blocks import Parameters
from apmatrix.cards.cca.errors import Reason
from apmatrix.cards.ep11.admin import FUNCTION_NUMBER
from apmatrix.cards.ep11.errors import ReturnValue
from apmatrix.cards.ep11.payload import Payload
from apmatrix.cards.errors import CardError
from apmatrix.cards.requests import (
    RequestError,
    cca_control,
    cca_message,
    ep11_control,
    ep11_message,
    read_cca_control,
    read_ep11_control,
    reply_parts,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class AdministrationError(CardError):
    """The card refused an administrative command; the text says why and what to do."""


class Action(Enum):
    """The actions of the commands; the values are the keywords of the messages."""

    LOAD_FIRST = "LOAD-FST"
    LOAD_MIDDLE = "LOAD-MID"
    LOAD_LAST = "LOAD-LST"
    SET = "SET"
    IMPORT = "IMPORT"
    COMMIT = "COMMIT"
    REENCIPHER = "REENCIPH"
    FINALIZE = "FINALIZE"
    CLEAR = "CLEAR"
    QUERY = "QUERY"
    ZEROIZE_DOMAIN = "ZERO-DOM"
    ZEROIZE_CARD = "ZERO-CRD"


_EP11_FUNCTION: Final = Ep11Function(api=1, number=FUNCTION_NUMBER)
_ZEROIZE: Final = (Action.ZEROIZE_DOMAIN, Action.ZEROIZE_CARD)


@dataclass(frozen=True, slots=True)
class RegisterView:
    """The public part of a register set: a state and a pattern each for new, current and old."""

    new: tuple[str, bytes]
    current: tuple[str, bytes]
    old: tuple[str, bytes] | None = None


@dataclass(frozen=True, slots=True)
class KeyCommand:
    """One command for the master keys of ``domain``. ``part`` is a key part or a key blob, and never shown."""

    action: Action
    key_set: KeySet
    domain: int
    part: bytes = field(default=b"", repr=False)

    @property
    def mode(self) -> Mode:
        """The kind of card that the command is for."""
        return self.key_set.mode

    def control(self, queue_domain: int) -> bytes:
        """The control block, as programs pass it to Linux, for the queue of ``queue_domain``."""
        keyword = self.action.value.encode()
        if self.mode is Mode.EP11:
            strings = (keyword, self.part) if self.part else (keyword,)
            command = Payload(_EP11_FUNCTION, self.domain, strings)
            return ep11_control(command, administrative=True)
        rules = (keyword,) if self.action in _ZEROIZE else (keyword, self.key_set.label.encode())
        parameters = Parameters(FUNCTION, rules, self.domain.to_bytes(2, "big") + self.part)
        return cca_control(parameters, queue_domain, function_id=CCA_MASTER_KEYS)

    def message(self, queue_domain: int) -> bytes:
        """The whole message, as programs pass it to NQAP, for the queue of ``queue_domain``."""
        build = ep11_message if self.mode is Mode.EP11 else cca_message
        return build(self.control(queue_domain))

    def result(self, message: bytes) -> RegisterView | None:
        """What the card answered: the registers, or nothing after zeroizing.

        AdministrationError if it refused the command, RequestError if it refused the message.
        """
        return self.control_result(reply_parts(message)[0])

    def control_result(self, control: bytes) -> RegisterView | None:
        """The same from the control block alone, which is what Linux returns."""
        if self.mode is Mode.EP11:
            return _ep11_result(control, self)
        found = read_cca_control(control)
        codes = (found.return_code, found.reason_code)
        if codes != (0, 0):
            raise _refused(self, _CCA_REASONS.get(codes), f"CCA codes {codes[0]}/{codes[1]}")
        return None if self.action in _ZEROIZE else _cca_view(found.parameters, self.key_set)

    def reenciphered(self, control: bytes) -> bytes:
        """The blob in the answer to REENCIPH; AdministrationError and RequestError as for :meth:`result`."""
        return _ep11_data(control, self)


_WRONG_STATE: Final = "the register is not in the state that this needs, or the key part has the wrong length"
_CCA_REASONS: Final[Mapping[tuple[int, int], str]] = {
    Reason.MASTER_KEY_STATE.value: _WRONG_STATE,
    Reason.ACCESS_DENIED.value: "keys of other domains are involved; make them control domains first",
    Reason.KEYS_NOT_KEPT.value: "the state directory cannot be written; nothing has changed",
}
_EP11_REASONS: Final[Mapping[int, str]] = {
    ReturnValue.WRONG_STATE: _WRONG_STATE,
    ReturnValue.INTERNAL_ERROR: "the state directory cannot be written; nothing has changed",
    ReturnValue.WRONG_WRAPPING_KEY: "it is under another wrapping key than the domain's current one",
    ReturnValue.KEY_HANDLE_INVALID: "it is not a key blob, or has been altered",
    ReturnValue.NO_WRAPPING_KEY: "the domain has no wrapping key that could open it",
}
_NEW_STATES: Final = {b"1": "empty", b"2": "partial", b"3": "full"}
_OTHER_STATES: Final = {b"1": "invalid", b"2": "valid"}


def _refused(command: KeyCommand, reason: str | None, codes: str) -> AdministrationError:
    what = "a key blob" if command.action is Action.REENCIPHER else f"the {command.key_set.label} master key"
    return AdministrationError(
        f"{command.action.value} of {what} in domain {command.domain:#04x} "
        f"was refused: {reason or 'the card gives no reason'} ({codes})"
    )


def _cca_view(parameters: Parameters, key_set: KeySet) -> RegisterView:
    size = key_set.pattern_size
    if len(parameters.rules) != 3 or len(parameters.vud) < 3 * size:
        raise RequestError("the card's reply does not show three registers")
    patterns = [parameters.vud[start : start + size] for start in range(0, 3 * size, size)]
    new, current, old = parameters.rules
    return RegisterView(
        (_NEW_STATES.get(new, "unknown"), patterns[0]),
        (_OTHER_STATES.get(current, "unknown"), patterns[1]),
        (_OTHER_STATES.get(old, "unknown"), patterns[2]),
    )


def _ep11_data(control: bytes, command: KeyCommand) -> bytes:
    found = read_ep11_control(control)
    if found.value != ReturnValue.OK:
        raise _refused(command, _EP11_REASONS.get(found.value), f"EP11 return value {found.value:08x}")
    return found.data


def _ep11_result(control: bytes, command: KeyCommand) -> RegisterView | None:
    data = _ep11_data(control, command)
    if command.action in _ZEROIZE:
        return None
    if len(data) < Ep11DomainInfo.SIZE:
        raise RequestError("the card's reply has no domain information")
    info = Ep11DomainInfo.parse(data)
    new = "empty"
    if info.new_present:
        new = "committed" if info.new_committed else "uncommitted"
    current = "valid" if info.current_valid else "invalid"
    return RegisterView((new, info.new_pattern), (current, info.current_pattern))
