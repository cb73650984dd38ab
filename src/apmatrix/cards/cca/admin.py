"""MK: apmatrix's own administrative command for master keys (docs/administrative-commands.md).

It names its target domain in the parameter block, since Linux 7.2 overwrites the domain in the CPRBX with the
queue's (hardware.md 5.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.arch import SETS_OF, KeySet, Mode
from apmatrix.cards.cca.errors import CcaError, Reason
from apmatrix.cards.cca.facility import shown_new, states
from apmatrix.cards.cca.verb import Result, VerbCall
from apmatrix.cards.masterkeys import KeyRegisters, MasterKey, MasterKeyError
from apmatrix.cards.vault import VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apmatrix.cards.cca.blocks import Parameters
    from apmatrix.cards.cca.verb import Verbs

FUNCTION: Final = b"MK"
"""Function code of the command; its function id is T5."""

_DOMAIN_SIZE: Final = 2
_SETS: Final = {key_set.label.encode(): key_set for key_set in SETS_OF[Mode.CCA]}
_ACTIONS: Final[Mapping[bytes, Callable[[KeyRegisters, bytes], KeyRegisters]]] = {
    b"LOAD-FST": lambda registers, part: registers.load_first(part),
    b"LOAD-MID": lambda registers, part: registers.load_middle(part),
    b"LOAD-LST": lambda registers, part: registers.load_last(part),
    b"CLEAR": lambda registers, _: registers.clear(),
    b"SET": lambda registers, _: registers.set(),
    b"QUERY": lambda registers, _: registers,
}


def target_domain(parameters: Parameters) -> int:
    """The domain that the command acts on; CcaError if it names none."""
    if len(parameters.vud) < _DOMAIN_SIZE:
        raise CcaError(Reason.BAD_LENGTH)
    return int.from_bytes(parameters.vud[:_DOMAIN_SIZE], "big")


def administer(call: VerbCall) -> Result:
    """Do what the rule array says, and answer with the state of the set; CcaError if the card refuses."""
    domain, part = target_domain(call.parameters), call.parameters.vud[_DOMAIN_SIZE:]
    if domain not in call.control_domains:  # NQAP has checked it; a card does not rely on that
        raise CcaError(Reason.ACCESS_DENIED)
    try:
        match call.parameters.rules:
            case (b"ZERO-DOM",):
                call.card.keyring.zeroize(domain)
                return Result()
            case (b"ZERO-CRD",):
                return _zeroize_card(call)
            case (action, label) if action in _ACTIONS and label in _SETS:
                transition = _ACTIONS[action]
                changed = call.card.keyring.change(
                    domain, _SETS[label], lambda registers: transition(registers, part)
                )
                return _state(changed)
            case _:
                raise CcaError(Reason.BAD_RULE)
    except MasterKeyError:
        raise CcaError(Reason.MASTER_KEY_STATE) from None
    except VaultError:
        raise CcaError(Reason.KEYS_NOT_KEPT) from None


def _zeroize_card(call: VerbCall) -> Result:
    """Zeroize the card; CcaError unless every domain that holds keys is a control domain of the sender."""
    if not call.card.keyring.zeroize_card(call.control_domains):
        raise CcaError(Reason.ACCESS_DENIED)
    return Result()


def _state(registers: KeyRegisters) -> Result:
    patterns = (_pattern(registers.key_set, key) for key in (shown_new(registers), registers.current, registers.old))
    return Result(states(registers), b"".join(patterns))


def _pattern(key_set: KeySet, key: MasterKey | None) -> bytes:
    return bytes(key_set.pattern_size) if key is None else key.pattern


VERBS: Final[Verbs] = {FUNCTION: administer}
