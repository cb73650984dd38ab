"""What Linux asks EP11 coprocessors about themselves (hardware.md 4.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.arch.messages import Ep11Cprb, Ep11Function
from apmatrix.arch.messages.ep11info import Ep11CardInfo, Ep11DomainInfo, OperationModes
from apmatrix.linux.zcrypt.cprb import ANY, Ep11Request
from apmatrix.linux.zcrypt.messages import ep11_control
from apmatrix.rules.refusals import Refused

if TYPE_CHECKING:
    from apmatrix.linux.ap import ApCard, ApQueue
    from apmatrix.linux.zcrypt.zcrypt import Zcrypt

_QUERY: Final = Ep11Function(api=1, number=38)
_UNANSWERED: Final = 0xFFFF_FFFF
_CARD_INFO, _DOMAIN_INFO = 1, 3


def _string(content: bytes) -> bytes:
    return bytes((0x04, len(content))) + content


def _query(zcrypt: Zcrypt, kind: int, card: int, domain: int) -> bytes | None:
    """The data of the answer; None if no card answers as it should."""
    target = domain % 256  # of ANY too, as the driver does
    strings = b"".join(_string(number.to_bytes(4, "big")) for number in (_QUERY.value, target, kind, 0))
    payload = bytes((0x30, len(strings))) + strings
    try:
        reply = zcrypt.ep11(Ep11Request(ep11_control(payload, target), ((card, domain),)))
    except Refused:
        return None
    return _data(reply[Ep11Cprb.SIZE :])


def _data(payload: bytes) -> bytes | None:
    """The fourth string: the kernel demands 82-form lengths outside and for it, short ones between."""
    value = int.from_bytes(payload[18:22], "big") if len(payload) >= 26 else _UNANSWERED
    if payload[:2] != b"\x30\x82" or value or payload[22:24] != b"\x04\x82":
        return None
    length = int.from_bytes(payload[24:26], "big")
    return payload[26 : 26 + length] if len(payload) >= 26 + length else None


def card_info(zcrypt: Zcrypt, card: ApCard) -> Ep11CardInfo | None:
    """What the card reports about itself."""
    data = _query(zcrypt, _CARD_INFO, card.number, ANY)
    return Ep11CardInfo.parse(data) if data and len(data) >= Ep11CardInfo.SIZE else None


def domain_info(zcrypt: Zcrypt, queue: ApQueue) -> Ep11DomainInfo | None:
    """What the card reports about a domain."""
    data = _query(zcrypt, _DOMAIN_INFO, queue.card.number, queue.apqn.domain)
    return Ep11DomainInfo.parse(data) if data and len(data) >= Ep11DomainInfo.SIZE else None


def mode_names(modes: OperationModes) -> str:
    """The names of the modes, such as ``FIPS2011 BSI2009``."""
    return " ".join(name.upper().replace("_", "-") for name in OperationModes.FIELDS if getattr(modes, name))


def wrapping_key_patterns(info: Ep11DomainInfo | None) -> str:
    """The two lines of ``mkvps`` (DEV-11)."""
    if info is None:
        return "WK CUR: - -\nWK NEW: - -\n"
    current = new = "-"
    current_state, new_state = "invalid", "empty"
    if info.not_imprinting:
        if info.current_valid:
            current_state, current = "valid", f"0x{info.current_pattern.hex()}"
        if info.new_present or info.new_committed:
            new_state = "committed" if info.new_committed else "uncommitted"
            new = f"0x{info.new_pattern.hex()}"
    return f"WK CUR: {current_state} {current}\nWK NEW: {new_state} {new}\n"
