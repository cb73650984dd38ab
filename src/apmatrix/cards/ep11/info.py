"""Function 38: what the card and its domains tell about themselves (hardware.md 4.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.arch import Layout, octets, text
from apmatrix.cards.ep11.errors import Ep11Error, ReturnValue
from apmatrix.cards.masterkeys import NewState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apmatrix.cards.ep11.call import FunctionCall, Handler, Handlers

API: Final = 6
"""Ordinal of the API that the card speaks."""

_FIRMWARE_ID: Final = 0x11223344
_OPERATION_MODES: Final = 0x4  # FIPS2011
_CARD: Final = 1
_DOMAIN: Final = 3
_CURRENT_VALID: Final = 0x02
_NEW_PRESENT: Final = 0x04
_NEW_COMMITTED: Final = 0x08
_NO_IMPRINT: Final = 0x10


class CardInfo(Layout, size=196):
    """Answer to type 1."""

    api = octets(0, 4)
    firmware_id = octets(4, 4)
    firmware_major = octets(8, 1)
    firmware_minor = octets(9, 1)
    serial = text(108, 16)
    date_time = text(124, 16)
    operation_modes = octets(140, 8)
    domains = octets(156, 4)


class DomainInfo(Layout, size=80):
    """Answer to type 3."""

    domain = octets(0, 4)
    current_pattern = text(4, 32)
    new_pattern = text(36, 32)
    flags = octets(68, 4)
    operation_modes = octets(72, 8)


def _card(call: FunctionCall) -> bytes:
    card = call.card
    major, minor = card.firmware_version
    info = CardInfo(
        api=API,
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
    flags = _NO_IMPRINT
    info = DomainInfo(domain=call.command.domain, operation_modes=_OPERATION_MODES)
    if registers.current is not None:
        flags |= _CURRENT_VALID
        info = info.replace(current_pattern=registers.current.pattern)
    if registers.new is not None:
        flags |= _NEW_PRESENT | (_NEW_COMMITTED if registers.new_state is NewState.COMMITTED else 0)
        info = info.replace(new_pattern=registers.new.pattern)
    return bytes(info.replace(flags=flags))


_QUERIES: Final[Mapping[int, Handler]] = {_CARD: _card, _DOMAIN: query_domain}


def query(call: FunctionCall) -> bytes:
    """The information that the first string asks for; the second, the subtype, must be zero."""
    kind, subtype = (int.from_bytes(string, "big") for string in call.strings(2))
    if kind not in _QUERIES or subtype:
        raise Ep11Error(ReturnValue.ARGUMENTS_BAD)
    return _QUERIES[kind](call)


FUNCTIONS: Final[Handlers] = {38: query}
