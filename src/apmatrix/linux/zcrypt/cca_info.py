"""What Linux asks CCA coprocessors about themselves: serial number and master key patterns (hardware.md 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from apmatrix.arch.messages import Cprbx
from apmatrix.linux.zcrypt.cprb import ANY, CcaRequest
from apmatrix.linux.zcrypt.messages import cca_control
from apmatrix.rules.refusals import Refused

if TYPE_CHECKING:
    from apmatrix.linux.ap import ApCard, ApQueue
    from apmatrix.linux.zcrypt.zcrypt import Zcrypt

_ROOM: Final = 4332
_ELEMENT: Final = 8
_NEW_STATES: Final = {b"1": "empty", b"2": "partial", b"3": "full"}
_OTHER_STATES: Final = {b"1": "invalid", b"2": "valid"}


@dataclass(frozen=True, slots=True)
class Facts:
    """The answer to a facility query: rule array elements and data."""

    rules: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class RegisterPlace:
    """Where a master key register is in the answers: rule element, data offset, length of the pattern."""

    name: str
    element: int
    offset: int
    length: int

    def line(self, facts: Facts) -> str:
        """The register's line of ``mkvps``, such as ``AES CUR: valid 0x0102030405060708``."""
        state_code = facts.rules[self.element][:1]
        is_new = self.name.endswith("NEW")
        state = (_NEW_STATES if is_new else _OTHER_STATES).get(state_code)
        if state is None:
            return f"{self.name}: - -\n"
        shown = state in ("full", "valid")
        pattern = facts.data[self.offset : self.offset + self.length] if shown else bytes(self.length)
        return f"{self.name}: {state} 0x{pattern.hex()}\n"


_STATICSA: Final = (
    RegisterPlace("AES NEW", 7, 196, 8),
    RegisterPlace("AES CUR", 8, 184, 8),
    RegisterPlace("AES OLD", 9, 172, 8),
    RegisterPlace("ASYM NEW", 4, 104, 16),
    RegisterPlace("ASYM CUR", 5, 84, 16),
    RegisterPlace("ASYM OLD", 6, 64, 16),
)
_STATICSB: Final = (
    RegisterPlace("APKA NEW", 10, 232, 8),
    RegisterPlace("APKA CUR", 11, 220, 8),
    RegisterPlace("APKA OLD", 12, 208, 8),
)
_MINIMUM: Final = {b"STATICSA": (10, 204), b"STATICSB": (13, 240)}


def facility_query(zcrypt: Zcrypt, keyword: bytes, card: int, domain: int) -> Facts | None:
    """Query a card with FQ; None if none answers as it should."""
    parameters = b"FQ\x00\x0a" + keyword + b"\x10\x02" + bytes(4096) + b"\x00\x02"
    control = cca_control(parameters, domain, reply_room=_ROOM)
    try:
        reply = zcrypt.cprb(CcaRequest(control, card=card, control_room=_ROOM))
    except Refused:
        return None
    if reply.cprbx.return_code:
        return None
    return _facts(reply.control[Cprbx.SIZE :], *_MINIMUM[keyword])


def _facts(parameters: bytes, least_rules: int, least_data: int) -> Facts | None:
    rules_end = 2 + int.from_bytes(parameters[2:4], "big")
    rules = parameters[4:rules_end]
    data_end = rules_end + int.from_bytes(parameters[rules_end : rules_end + 2], "big")
    data = parameters[rules_end + 2 : data_end]
    if parameters[:2] != b"FQ" or len(rules) < least_rules * _ELEMENT or len(data) < least_data:
        return None
    elements = tuple(rules[start : start + _ELEMENT] for start in range(0, len(rules), _ELEMENT))
    return Facts(elements, data)


def _static_facts(zcrypt: Zcrypt, card: int, domain: int) -> tuple[Facts | None, Facts | None]:
    """STATICSA and STATICSB; the driver does not ask for the second if the first fails."""
    first = facility_query(zcrypt, b"STATICSA", card, domain)
    return first, facility_query(zcrypt, b"STATICSB", card, domain) if first else None


def serial_number(zcrypt: Zcrypt, card: ApCard) -> str:
    """The card's serial number, empty if the card does not report it."""
    first, _ = _static_facts(zcrypt, card.number, ANY)
    return first.rules[0].rstrip(b"\0 ").decode("latin-1") if first else ""


def master_key_patterns(zcrypt: Zcrypt, queue: ApQueue) -> str:
    """The nine lines of ``mkvps`` (DEV-11)."""
    lines: list[str] = []
    aes_and_asym, apka = (
        [register.line(facts) for register in registers] if facts else [f"{r.name}: - -\n" for r in registers]
        for registers, facts in zip(
            (_STATICSA, _STATICSB), _static_facts(zcrypt, queue.card.number, queue.apqn.domain), strict=True
        )
    )
    lines.extend(aes_and_asym[:3])
    lines.extend(apka)
    lines.extend(aes_and_asym[3:])
    return "".join(lines)
