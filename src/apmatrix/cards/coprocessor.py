"""What the coprocessors, CCA and EP11, have in common: type 06 messages and who may send them (hardware.md 5.3)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Final, NamedTuple

from apmatrix.arch import ResponseCode
from apmatrix.arch.messages import ReplyCode
from apmatrix.cards.firmware import Admission, Firmware, Request
from apmatrix.cards.messages import CoprocessorRequest, RefusedMessage, error_reply

if TYPE_CHECKING:
    from apmatrix.arch import Mask


NO_DOMAIN: Final = -1
"""A target that no sender may use or administer."""


class Target(NamedTuple):
    """The domain that a command acts on, and whether it changes that domain."""

    domain: int
    administrative: bool

    def allowed(self, queue_domain: int, control_domains: Mask) -> bool:
        """A usage command needs its queue's own domain, an administrative one a control domain."""
        if self.administrative:
            return self.domain in control_domains
        return self.domain == queue_domain


class Sender(NamedTuple):
    """Where a request came from: the queue's domain, NQAP's S bit, and what the sender may administer."""

    domain: int
    special: bool
    control_domains: Mask


class Coprocessor(Firmware):
    """Firmware that takes type 06 messages."""

    def admit(self, domain: int, request: Request) -> Admission:
        """Compare the command's target with the queue and the issuing level's control domains.

        Refused with 42, or, for an administrative command where RC8A is offered, accepted and answered with
        reply code 8A. A message that cannot be parsed is accepted: the reply says what is wrong with it.
        """
        try:
            parsed = CoprocessorRequest.parse(request.message)
            target = self.target(domain, parsed)
            if target.allowed(domain, request.control_domains):
                return ResponseCode.NORMAL
            if target.administrative and request.rc8a:
                return self.refusal(parsed, ReplyCode.INVALID_DOMAIN_PENDING)
        except RefusedMessage:
            return ResponseCode.NORMAL
        return ResponseCode.INVALID_DOMAIN

    def process(self, domain: int, request: Request) -> bytes:
        """The type 86 reply, or type 82 for a message that is not for this card."""
        try:
            sender = Sender(domain, request.special, request.control_domains)
            return self.execute(sender, CoprocessorRequest.parse(request.message))
        except RefusedMessage as refusal:
            return error_reply(refusal.code)

    @abstractmethod
    def target(self, domain: int, request: CoprocessorRequest) -> Target:
        """The domain that ``request``, sent to the queue of ``domain``, acts on; RefusedMessage if malformed."""

    @abstractmethod
    def execute(self, sender: Sender, request: CoprocessorRequest) -> bytes:
        """The reply; RefusedMessage if the control block is malformed."""

    @abstractmethod
    def refusal(self, request: CoprocessorRequest, code: ReplyCode, final_status: int = 0) -> bytes:
        """A type 86 reply with ``code`` and a complete control block, which Linux needs (hardware.md 3.5)."""
