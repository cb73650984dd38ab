"""What Linux asks EP11 coprocessors about themselves (hardware.md 4.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.arch import Layout, bits, flag, octets, text
from apmatrix.cards.messages import Ep11Cprb
from apmatrix.linux.zcrypt.cprb import ANY, Ep11Request
from apmatrix.rules.refusals import Refused

if TYPE_CHECKING:
    from apmatrix.linux.ap import ApCard, ApQueue
    from apmatrix.linux.zcrypt.zcrypt import Zcrypt

_HEADER: Final = Ep11Cprb.WIDTH // 8
_QUERY: Final = 0x0001_0026  # API version 1, function 38
_CARD_INFO, _DOMAIN_INFO = 1, 3
_OPERATION_MODES: Final = (
    "FIPS2009",
    "BSI2009",
    "FIPS2011",
    "BSI2011",
    "SIGG-IMPORT",
    "SIGG",
    "BSICC2017",
    "FIPS2021",
    "FIPS2024",
)


class CardInfo(Layout, size=196):
    """The answer about a card."""

    api_ordinal = octets(0, 4)
    firmware_major = octets(8, 1)
    firmware_minor = octets(9, 1)
    serial = text(108, 16)
    operation_modes = octets(140, 8)


class DomainInfo(Layout, size=80):
    """The answer about a domain. The flags' bits count from the right in the documents."""

    current_pattern = text(4, 32)
    new_pattern = text(36, 32)
    not_imprinting = flag(68 * 8 + 27)
    new_committed = flag(68 * 8 + 28)
    new_present = flag(68 * 8 + 29)
    current_valid = flag(68 * 8 + 30)
    operation_modes = octets(72, 8)


class _Answer(Layout, size=4):
    return_value = bits(0, 31)


def _string(content: bytes) -> bytes:
    return bytes((0x04, len(content))) + content


def _query(zcrypt: Zcrypt, kind: int, card: int, domain: int) -> bytes | None:
    """The data of the answer; None if no card answers as it should."""
    strings = b"".join(_string(number.to_bytes(4, "big")) for number in (_QUERY, domain & 0xFF, kind, 0))
    payload = bytes((0x30, len(strings))) + strings
    header = Ep11Cprb(
        length=_HEADER,
        version=4,
        function_id=b"T4",
        target=domain & 0xFF,
        return_code=0xFFFF_FFFF,
        payload_length=len(payload),
    )
    try:
        reply = zcrypt.ep11(Ep11Request(bytes(header) + payload, ((card, domain),)))
    except Refused:
        return None
    return _data(reply[_HEADER:])


def _data(payload: bytes) -> bytes | None:
    """The fourth string: the kernel demands 82-form lengths outside and for it, short ones between."""
    value = _Answer.parse(payload[18:22]) if len(payload) >= 26 else _Answer(0xFFFF_FFFF)
    if payload[:2] != b"\x30\x82" or value.return_value or payload[22:24] != b"\x04\x82":
        return None
    length = int.from_bytes(payload[24:26], "big")
    return payload[26 : 26 + length] if len(payload) >= 26 + length else None


def card_info(zcrypt: Zcrypt, card: ApCard) -> CardInfo | None:
    """What the card tells about itself."""
    data = _query(zcrypt, _CARD_INFO, card.number, ANY)
    return CardInfo.parse(data) if data and len(data) >= CardInfo.WIDTH // 8 else None


def domain_info(zcrypt: Zcrypt, queue: ApQueue) -> DomainInfo | None:
    """What the card tells about a domain."""
    data = _query(zcrypt, _DOMAIN_INFO, queue.card.number, queue.apqn.domain)
    return DomainInfo.parse(data) if data and len(data) >= DomainInfo.WIDTH // 8 else None


def mode_names(modes: int) -> str:
    """``FIPS2011 BSI2009`` and the like."""
    return " ".join(name for bit, name in enumerate(_OPERATION_MODES) if modes & 1 << bit)


def wrapping_key_patterns(info: DomainInfo | None) -> str:
    """The two lines of ``mkvps`` (DEV-11)."""
    if info is None:
        return "WK CUR: - -\nWK NEW: - -\n"
    current = new = "-"
    current_state, new_state = "invalid", "empty"
    if info.not_imprinting:
        if info.current_valid:
            current_state, current = "valid", f"0x{info.current_pattern.hex()}"
        if info.new_present:
            new_state = "committed" if info.new_committed else "uncommitted"
            new = f"0x{info.new_pattern.hex()}"
    return f"WK CUR: {current_state} {current}\nWK NEW: {new_state} {new}\n"
