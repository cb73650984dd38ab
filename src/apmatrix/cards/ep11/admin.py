"""Function 41: apmatrix's own administrative command for wrapping keys (docs/administrative-commands.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.arch import KeySet
from apmatrix.cards.ep11.blob import seal, unseal
from apmatrix.cards.ep11.errors import Ep11Error, ReturnValue
from apmatrix.cards.ep11.info import query_domain
from apmatrix.cards.masterkeys import KeyRegisters, MasterKeyError, NewState
from apmatrix.cards.vault import VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apmatrix.cards.ep11.call import FunctionCall, Handlers

FUNCTION_NUMBER: Final = 41
"""Number of the function; it needs flag 80."""

_ACTIONS: Final[Mapping[bytes, Callable[[KeyRegisters, bytes], KeyRegisters]]] = {
    b"IMPORT": lambda registers, key: registers.import_whole(key),
    b"COMMIT": lambda registers, _: registers.commit(),
    b"FINALIZE": lambda registers, _: registers.finalize(),
    b"CLEAR": lambda registers, _: registers.clear(),
    b"QUERY": lambda registers, _: registers,
}


def administer(call: FunctionCall) -> bytes:
    """Do what the first string says, with the second as key or blob; answer with the domain information.

    REENCIPH answers with a blob that is valid after FINALIZE, since EP11 has no old register. Ep11Error if the
    sender may not administer the domain, or the registers are not in the state needed.
    """
    action, content = (*call.strings(1), *call.command.strings[1:2], b"")[:2]
    domain = call.command.domain
    if domain not in call.control_domains:  # NQAP has checked it; a card does not rely on that
        raise Ep11Error(ReturnValue.ARGUMENTS_BAD)
    try:
        if action == b"REENCIPH":
            return _reencipher(call.registers, content)
        if action in _ACTIONS:
            transition = _ACTIONS[action]
            call.card.keyring.change(domain, KeySet.WK, lambda registers: transition(registers, content))
        elif action == b"ZERO-DOM":
            call.card.keyring.zeroize(domain)
        elif action != b"ZERO-CRD" or not call.card.keyring.zeroize_card(call.control_domains):
            raise Ep11Error(ReturnValue.ARGUMENTS_BAD)
    except MasterKeyError:
        raise Ep11Error(ReturnValue.WRONG_STATE) from None
    except VaultError:
        raise Ep11Error(ReturnValue.INTERNAL_ERROR) from None
    return query_domain(call)


def _reencipher(registers: KeyRegisters, blob: bytes) -> bytes:
    if registers.new_state is not NewState.COMMITTED:
        raise Ep11Error(ReturnValue.WRONG_STATE)
    return seal(unseal(blob, registers), registers.finalize())


FUNCTIONS: Final[Handlers] = {FUNCTION_NUMBER: administer}
