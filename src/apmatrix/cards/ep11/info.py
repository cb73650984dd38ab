"""Function 38: what the card and its domains report about themselves (hardware.md 4.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.arch.messages.ep11info import Ep11CardInfo, Ep11DomainInfo, OperationModes
from apmatrix.cards.ep11.errors import Ep11Error, ReturnValue
from apmatrix.cards.masterkeys import NewState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apmatrix.cards.ep11.call import FunctionCall, Handler, Handlers

API: Final = 6
"""Ordinal of the API that the card speaks."""

_FIRMWARE_ID: Final = 0x11223344
_OPERATION_MODES: Final = OperationModes(fips2011=True)
_CARD: Final = 1
_DOMAIN: Final = 3


def _card(call: FunctionCall) -> bytes:
    card = call.card
    major, minor = card.firmware_version
    info = Ep11CardInfo(
        api_ordinal=API,
        firmware_id=_FIRMWARE_ID,
        firmware_major=major,
        firmware_minor=minor,
        serial=card.serial.encode().ljust(16, b"0"),
        date_time=card.calendar().strftime("%Y%m%d%H%M%S  ").encode(),
        operation_modes=_OPERATION_MODES,
        domains=card.domains,
    )
    return bytes(info)


def query_domain(call: FunctionCall) -> bytes:
    """The state of the wrapping key registers of the domain."""
    registers = call.registers
    info = Ep11DomainInfo(domain=call.command.domain, operation_modes=_OPERATION_MODES, not_imprinting=True)
    if registers.current is not None:
        info = info.replace(current_valid=True, current_pattern=registers.current.pattern)
    if registers.new is not None:
        committed = registers.new_state is NewState.COMMITTED
        info = info.replace(new_present=True, new_committed=committed, new_pattern=registers.new.pattern)
    return bytes(info)


_QUERIES: Final[Mapping[int, Handler]] = {_CARD: _card, _DOMAIN: query_domain}


def query(call: FunctionCall) -> bytes:
    """The information that the first string asks for; the second, the subtype, must be zero."""
    kind, subtype = (int.from_bytes(string, "big") for string in call.strings(2))
    if kind not in _QUERIES or subtype:
        raise Ep11Error(ReturnValue.ARGUMENTS_BAD)
    return _QUERIES[kind](call)


FUNCTIONS: Final[Handlers] = {38: query}
