"""Pass-through requests: CPRBs for CCA and EP11 as programs bring them (hardware.md 3.9, 3.10)."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import Final

from apmatrix.cards.messages import (
    CPRBX_VERSION,
    EP11_ADMINISTRATIVE,
    EP11_CPRB_VERSION,
    EP11_SPECIAL,
    Cprbx,
    Ep11Cprb,
    MessageType,
    ReplyHeader,
    RequestHeader,
    message_type,
)
from apmatrix.linux.errors import BadValue, Failed
from apmatrix.linux.zcrypt.replies import Offline, ReplyError, broken, error_of, short_error

ANY: Final = 0xFFFF
"""Domain of a request that may go to any."""

ANY_CARD: Final = 0xFFFF_FFFF
ERROR_STATUS: Final = 0x0008_044D
"""What ``status`` tells when the card refused the message itself."""

USAGE: Final = b"T2"
ADMINISTRATIVE: Final = frozenset((b"T3", b"T5", b"T6", b"T7"))
_SPECIAL: Final = (b"US", b"AU")

_HEADER_SIZE: Final = RequestHeader.WIDTH // 8
_REPLY_HEADER_SIZE: Final = ReplyHeader.WIDTH // 8
_CPRBX_SIZE: Final = Cprbx.WIDTH // 8
_EP11_SIZE: Final = Ep11Cprb.WIDTH // 8


class StatusError(ReplyError):
    """A refused CPRB; ``status`` goes to the caller's structure."""

    def __init__(self, number: int, message: str, status: int, offline: Offline | None = None) -> None:
        super().__init__(number, message, offline)
        self.status = status


@dataclass(frozen=True, slots=True)
class CcaRequest:
    """A CPRBX with its parameters, and data. ``card`` or ANY_CARD; rooms are those of the caller's buffers."""

    control: bytes = field(repr=False)
    data: bytes = field(default=b"", repr=False)
    card: int = ANY_CARD
    control_room: int = 8192
    data_room: int = 0
    agent: bytes = b"CA"

    def check(self) -> None:
        """BadValue for a control block that is too short for what it is."""
        if len(self.control) < _CPRBX_SIZE or self.control_room < _CPRBX_SIZE:
            raise BadValue(f"a CPRB needs {_CPRBX_SIZE} bytes, and as much room for its reply")

    @property
    def cprbx(self) -> Cprbx:
        """The control block's header."""
        return Cprbx.parse(self.control)

    @property
    def administrative(self) -> bool:
        """True for function ids that change a domain."""
        return self.cprbx.function_id in ADMINISTRATIVE

    @property
    def known(self) -> bool:
        """True for function ids that Linux knows."""
        return self.administrative or self.cprbx.function_id == USAGE

    @property
    def special(self) -> bool:
        """True for the verbs that need NQAP's S bit."""
        return self.control[_CPRBX_SIZE : _CPRBX_SIZE + 2] in _SPECIAL

    def message(self, domain: int, longest: int) -> bytes:
        """The type 06 message. Linux 7.2 overwrites the domain with that of the transporting queue (5.1)."""
        control = bytes(self.cprbx.replace(domain=domain)) + self.control[_CPRBX_SIZE:]
        padded = control + bytes(-len(control) % 4)
        header = RequestHeader(
            message_type=MessageType.COPROCESSOR_REQUEST,
            offset1=_HEADER_SIZE,
            offset2=_HEADER_SIZE + len(padded) if self.data else 0,
            agent=self.agent,
            function_code=control[_CPRBX_SIZE : _CPRBX_SIZE + 2],
            to_card1=len(control),
            to_card2=len(self.data),
            from_card1=min(self.control_room, longest - _REPLY_HEADER_SIZE),
            from_card2=self.data_room,
        )
        return bytes(header) + padded + self.data


@dataclass(frozen=True, slots=True)
class CcaReply:
    """The card's control block and data."""

    control: bytes = field(repr=False)
    data: bytes = field(repr=False)
    status: int = 0

    @property
    def cprbx(self) -> Cprbx:
        """The control block's header, with return and reason code."""
        return Cprbx.parse(self.control)


def cca_reply(reply: bytes, request: CcaRequest) -> CcaReply:
    """Take a type 86 reply apart. Raises StatusError; EMSGSIZE where the caller has no room."""
    if error := short_error(reply):
        raise StatusError(error.errno, str(error), ERROR_STATUS)
    header = _header(reply, ERROR_STATUS)
    if header.reply_code:
        error = error_of(header.reply_code)
        raise StatusError(error.errno, str(error), header.final_status)
    if len(reply) <= _REPLY_HEADER_SIZE + 2 or reply[_REPLY_HEADER_SIZE + 2] != CPRBX_VERSION:
        wrong = broken(reply)
        raise StatusError(wrong.errno, str(wrong), ERROR_STATUS, wrong.offline)
    control = reply[header.offset1 : header.offset1 + header.count1]
    data = reply[header.offset2 : header.offset2 + header.count2] if header.count2 else b""
    if len(control) > request.control_room or len(data) > request.data_room:
        raise StatusError(errno.EMSGSIZE, "the reply does not fit the caller's buffers", 0)
    return CcaReply(control, data, header.final_status)


def _header(reply: bytes, status: int) -> ReplyHeader:
    if message_type(reply) != MessageType.COPROCESSOR_REPLY or len(reply) < _REPLY_HEADER_SIZE:
        wrong = broken(reply)
        raise StatusError(wrong.errno, str(wrong), status, wrong.offline)
    header = ReplyHeader.parse(reply)
    end = header.offset2 + header.count2 if header.count2 else header.offset1 + header.count1
    if header.offset1 != _REPLY_HEADER_SIZE or end != len(reply):
        raise StatusError(errno.EMSGSIZE, f"a reply of {len(reply)} bytes tells a length of {end}", 0)
    return header


@dataclass(frozen=True, slots=True)
class Ep11Request:
    """An EP11 CPRB with its payload. ``targets`` are (card, domain), ANY for either; none at all: any queue."""

    cprb: bytes = field(repr=False)
    targets: tuple[tuple[int, int], ...] = ()
    room: int = 8192

    def check(self) -> None:
        """BadValue for a block that is too short, or whose payload length is not what follows."""
        if len(self.cprb) < _EP11_SIZE + 5:
            raise BadValue("an EP11 CPRB needs a payload")
        if self.header.payload_length != len(self.cprb) - _EP11_SIZE:
            raise BadValue("the payload length of the EP11 CPRB is wrong")

    @property
    def header(self) -> Ep11Cprb:
        """The control block's header."""
        return Ep11Cprb.parse(self.cprb)

    @property
    def administrative(self) -> bool:
        """True if the request changes a domain."""
        return bool(self.header.flags & EP11_ADMINISTRATIVE)

    @property
    def special(self) -> bool:
        """True if it needs NQAP's S bit."""
        return bool(self.header.flags & EP11_SPECIAL)

    def wants(self, card: int, domain: int) -> bool:
        """True if the target list allows the queue."""
        return not self.targets or any(
            target in (card, ANY) and where in (domain, ANY) for target, where in self.targets
        )

    def message(self, domain: int, longest: int) -> bytes:
        """The type 06 message; a usage request gets the queue's domain, an administrative one keeps its own."""
        cprb = self.cprb if self.administrative else self._for_domain(domain)
        header = RequestHeader(
            message_type=MessageType.COPROCESSOR_REQUEST,
            offset1=_HEADER_SIZE,
            agent=b"XC",
            request_id=1,
            to_card1=len(cprb),
            from_card1=longest - _REPLY_HEADER_SIZE,
        )
        return bytes(header) + cprb + bytes(-len(cprb) % 4)

    def _for_domain(self, domain: int) -> bytes:
        """Overwrite target id and domain string."""
        payload = bytearray(self.cprb[_EP11_SIZE:])
        position = _after_header(payload, 0)
        position = _skip(payload, position)
        start = _after_header(payload, position)
        length = _skip(payload, position) - start
        payload[start : start + length] = domain.to_bytes(4, "big")[-length:]
        return bytes(self.header.replace(target=domain)) + bytes(payload)


def _length_at(payload: bytes | bytearray, position: int) -> tuple[int, int]:
    """The ASN.1 length at ``position``: short form, 81, 82 or 84, and where the content begins."""
    if position >= len(payload):
        raise BadValue("the EP11 payload ends in the middle")
    first = payload[position]
    if first < 0x80:
        return first, position + 1
    size = first & 0x7F
    if size not in (1, 2, 4) or position + 1 + size > len(payload):
        raise BadValue("the EP11 payload has a length that Linux does not know")
    return int.from_bytes(payload[position + 1 : position + 1 + size], "big"), position + 1 + size


def _after_header(payload: bytes | bytearray, position: int) -> int:
    return _length_at(payload, position + 1)[1]


def _skip(payload: bytes | bytearray, position: int) -> int:
    length, start = _length_at(payload, position + 1)
    if start + length > len(payload):
        raise BadValue("the EP11 payload ends in the middle")
    return start + length


def ep11_reply(reply: bytes, request: Ep11Request) -> bytes:
    """The CPRB in a type 86 reply. Raises ReplyError; EMSGSIZE where the caller has no room."""
    if error := short_error(reply, ep11=True):
        raise error
    header = _header(reply, 0)
    if header.reply_code:
        raise error_of(header.reply_code)
    cprb = reply[header.offset1 : header.offset1 + header.count1]
    if len(cprb) < 3 or cprb[2] != EP11_CPRB_VERSION:
        raise broken(reply)
    if len(cprb) > request.room:
        raise Failed("the reply does not fit the caller's buffer", number=errno.EMSGSIZE)
    return cprb
