"""Pass-through requests: CPRBs for CCA and EP11 as programs bring them (hardware.md 3.9, 3.10)."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from apmatrix.arch.messages import (
    Cprbx,
    Ep11Cprb,
    Ep11Function,
    ErrorReply,
    MessageType,
    ReplyHeader,
    RequestHeader,
)
from apmatrix.arch.messages.cprb import CCA_ADMINISTRATIVE, CCA_USAGE, CPRBX_VERSION, EP11_CPRB_VERSION
from apmatrix.arch.messages.headers import CCA_AGENT
from apmatrix.linux.zcrypt import asn1
from apmatrix.linux.zcrypt.messages import cca_message, ep11_message, padding
from apmatrix.linux.zcrypt.replies import Reply, ReplyError, broken, error_of, length_of_blocks
from apmatrix.rules.refusals import BadValue, Failed

ANY: Final = 0xFFFF
"""Domain of a request that may go to any."""

ANY_CARD: Final = 0xFFFF_FFFF
ERROR_STATUS: Final = 0x0008_044D
"""The ``status`` of a message that the card itself refused."""

_SPECIAL: Final = (b"US", b"AU")
_LARGEST_ROOM: Final = 0xFFFF_FFFF


class StatusError(ReplyError):
    """A refused CPRB; ``status`` goes to the caller's structure."""

    def __init__(self, error: ReplyError, status: int) -> None:
        super().__init__(error.errno, str(error), error.offline, scan=error.scan)
        self.status = status


@dataclass(frozen=True)
class CcaRequest:
    """A CPRBX with its parameters, and data. ``card`` may be ANY_CARD; rooms are sizes of the caller's buffers."""

    control: bytes = field(repr=False)
    data: bytes = field(default=b"", repr=False)
    card: int = ANY_CARD
    control_room: int = 8192
    data_room: int = 0
    agent: bytes = CCA_AGENT

    def check(self, longest: int) -> None:
        """BadValue for impossible lengths; ``longest`` is the size of Linux's message buffers."""
        self.check_lengths(len(self.control), len(self.data), self.control_room, self.data_room, longest)
        self.check_verb()

    def check_verb(self) -> None:
        """BadValue if the control block ends before its verb."""
        if self.cprbx.length + len(self.verb) > len(self.control) + padding(len(self.control)):
            raise BadValue(f"the CPRB has no verb where it says: after {self.cprbx.length} bytes")

    @staticmethod
    def check_lengths(control: int, data: int, control_room: int, data_room: int, longest: int) -> None:
        """Make the checks that need only the lengths."""
        if control < Cprbx.SIZE or control_room < Cprbx.SIZE:
            raise BadValue(f"a CPRB needs {Cprbx.SIZE} bytes, and as much room for its reply")
        if RequestHeader.SIZE + control + padding(control) + data > longest:
            raise BadValue(f"a request of {control + data} bytes is longer than any card takes")
        if control_room + padding(control_room) + data_room > _LARGEST_ROOM:
            raise BadValue("the room for the reply is larger than possible")

    @cached_property
    def cprbx(self) -> Cprbx:
        """The control block's header."""
        return Cprbx.overlay(self.control)

    @property
    def administrative(self) -> bool:
        """True for function ids that change a domain."""
        return self.cprbx.function_id in CCA_ADMINISTRATIVE

    @property
    def known(self) -> bool:
        """True for function ids that Linux knows."""
        return self.administrative or self.cprbx.function_id == CCA_USAGE

    @cached_property
    def verb(self) -> bytes:
        """What the card is to do, such as ``b"FQ"``."""
        start = self.cprbx.length
        return self.control[start : start + 2].ljust(2, b"\0")

    @property
    def special(self) -> bool:
        """True for the verbs that need NQAP's S bit."""
        return self.verb in _SPECIAL

    @property
    def size(self) -> int:
        """The length of the message in bytes."""
        return RequestHeader.SIZE + len(self.control) + padding(len(self.control)) + len(self.data)

    def message(self, domain: int, longest: int) -> bytes:
        """The type 06 message for a card with messages of at most ``longest`` bytes.

        Linux 7.2 overwrites the domain with that of the transporting queue (5.1).
        """
        control = bytes(self.cprbx.replace(domain=domain)) + self.control[Cprbx.SIZE :]
        payload = longest - ReplyHeader.SIZE
        data_room = min(self.data_room, payload)
        return cca_message(
            control,
            self.verb,
            reply_room=min(self.control_room, payload - data_room),
            data_room=data_room,
            data=self.data,
            agent=self.agent,
            aligned=True,
        )


@dataclass(frozen=True)
class CcaReply:
    """The card's control block and data."""

    control: bytes = field(repr=False)
    data: bytes = field(repr=False)

    @cached_property
    def cprbx(self) -> Cprbx:
        """The control block's header, with return and reason code."""
        return Cprbx.overlay(self.control)

    def check_room(self, request: CcaRequest) -> None:
        """Failed (EMSGSIZE) where the caller has no room."""
        if len(self.control) > request.control_room or len(self.data) > request.data_room:
            raise no_room(len(self.control) + len(self.data))


def no_room(needed: int) -> Failed:
    """The error for a reply that does not fit the caller's buffers."""
    return Failed(f"the reply of {needed} bytes does not fit the caller's buffers", number=errno.EMSGSIZE)


def cca_reply(reply: Reply) -> CcaReply:
    """Parse a type 86 reply. Raises ReplyError; StatusError if the caller is to see a status."""
    message = reply.taken(CPRBX_VERSION, length_of_blocks)
    if message[1] in (MessageType.ERROR, MessageType.ERROR_88):
        raise StatusError(error_of(message), ERROR_STATUS)
    header = ReplyHeader.overlay(message.ljust(ReplyHeader.SIZE, b"\0"))
    if message[1] == MessageType.COPROCESSOR_REPLY and header.reply_code:
        raise StatusError(error_of(message), header.final_status)
    if len(message) < ReplyHeader.SIZE:
        raise StatusError(broken(message), ERROR_STATUS)
    data = message[header.offset2 : header.offset2 + header.count2] if header.count2 else b""
    return CcaReply(message[header.offset1 : header.offset1 + header.count1], data)


@dataclass(frozen=True)
class Ep11Request:
    """An EP11 CPRB with its payload. ``targets`` are (card, domain), ANY for either; without targets, any queue."""

    cprb: bytes = field(repr=False)
    targets: tuple[tuple[int, int], ...] = ()
    room: int = 8192

    def check(self, longest: int) -> None:
        """BadValue for impossible lengths, or a payload that Linux does not understand."""
        self.check_lengths(len(self.cprb), self.room, longest)
        if self.header.payload_length != len(self.cprb) - Ep11Cprb.SIZE:
            raise BadValue("the payload length of the EP11 CPRB is wrong")
        asn1.function_part(self._payload)

    @staticmethod
    def check_lengths(request: int, room: int, longest: int) -> None:
        """Make the checks that need only the lengths."""
        if request < Ep11Cprb.SIZE + asn1.SHORTEST or room < Ep11Cprb.SIZE:
            raise BadValue(f"an EP11 CPRB needs {Ep11Cprb.SIZE} bytes and a payload, and room for its reply")
        if RequestHeader.SIZE + request + padding(request) > longest or room + padding(room) > _LARGEST_ROOM:
            raise BadValue(f"a request of {request} bytes, or its reply, is longer than any card takes")

    @cached_property
    def _payload(self) -> bytes:
        return self.cprb[Ep11Cprb.SIZE :]

    @property
    def function(self) -> int:
        """The number of the function."""
        part = asn1.function_part(self._payload)
        return Ep11Function(int.from_bytes(self._payload[part.start : part.end], "big")).number

    @property
    def size(self) -> int:
        """The length of the message in bytes."""
        return RequestHeader.SIZE + len(self.cprb) + padding(len(self.cprb))

    @cached_property
    def header(self) -> Ep11Cprb:
        """The control block's header."""
        return Ep11Cprb.overlay(self.cprb)

    @property
    def administrative(self) -> bool:
        """True if the request changes a domain."""
        return self.header.administrative

    @property
    def special(self) -> bool:
        """True if it needs NQAP's S bit."""
        return self.header.special

    def wants(self, card: int, domain: int) -> bool:
        """True if the target list allows the queue."""
        return not self.targets or any(
            target in (card, ANY) and where in (domain, ANY) for target, where in self.targets
        )

    def message(self, domain: int, longest: int) -> bytes:
        """The type 06 message; a usage request gets the queue's domain, an administrative one keeps its own."""
        cprb = self.cprb if self.administrative else self._for_domain(domain)
        return ep11_message(cprb, reply_room=longest - ReplyHeader.SIZE)

    def _for_domain(self, domain: int) -> bytes:
        """Overwrite target id and domain string."""
        payload = self._payload
        part = asn1.domain_part(payload)
        if part is not None:
            number = domain.to_bytes(4, "big")[-part.size :]
            payload = payload[: part.start] + number + payload[part.end :]
        return bytes(self.header.replace(target=domain)) + payload


def ep11_reply(reply: Reply) -> bytes:
    """The CPRB in a type 86 reply. Raises ReplyError."""
    message = reply.taken(EP11_CPRB_VERSION, length_of_blocks)
    kind = message[1]
    refused = kind == MessageType.COPROCESSOR_REPLY and ErrorReply.parse(message).reply_code
    if refused or kind in (MessageType.ERROR, MessageType.ERROR_EP11):
        raise error_of(message)
    if len(message) < ReplyHeader.SIZE:
        raise broken(message)
    header = ReplyHeader.overlay(message)
    return message[header.offset1 : header.offset1 + header.count1]
