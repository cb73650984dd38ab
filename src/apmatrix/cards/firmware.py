"""What runs inside an adapter, as its queues see it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from apmatrix.arch import NO_BITS, Mask, ResponseCode

if TYPE_CHECKING:
    from typing import TypeAlias

Admission: TypeAlias = ResponseCode | bytes
"""What :meth:`Firmware.admit` decides: NORMAL, a refusal, or a reply that is ready without processing."""


class Request(NamedTuple):
    """One message to a card, with what the machine knows about its sender.

    ``message_id`` is the program's 64-bit number, opaque and not necessarily unique; ``special`` is NQAP's S
    bit; ``control_domains`` are those of the issuing level's effective ADM; ``rc8a`` says that the level's QCI
    block offers RC8A (hardware.md 5.3). The message may hold clear keys and is never shown.
    """

    message_id: int
    message: bytes
    special: bool = False
    control_domains: Mask = NO_BITS
    rc8a: bool = False

    def __repr__(self) -> str:
        return f"<request {self.message_id:016x} of {len(self.message)} bytes>"


class Firmware(ABC):
    """The inside of one adapter; each kind of card is a subclass.

    Its methods are called outside all locks of the queue engine, from several threads at once.
    """

    def admit(self, domain: int, request: Request) -> Admission:
        """Judge ``request`` when it is enqueued to ``domain``: only what NQAP answers itself (hardware.md 5.3).

        A reply instead of a code means: accepted, and this is the answer.
        """
        del domain, request
        return ResponseCode.NORMAL

    @abstractmethod
    def process(self, domain: int, request: Request) -> bytes:
        """The reply to ``request``. Malformed messages get an error reply instead of an exception."""

    def zeroize(self, domain: int) -> None:
        """Forget what ``domain`` holds for the owner of its queue (ZAPQ); master keys stay (hardware.md 1.5)."""
        del domain
