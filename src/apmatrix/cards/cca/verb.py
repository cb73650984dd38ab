"""The arguments and the result of a verb of the CCA card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from apmatrix.cards.cca.blocks import Part, parse_parts
from apmatrix.cards.cca.errors import CcaError, Reason

if TYPE_CHECKING:
    from apmatrix.arch import KeySet, Mask
    from apmatrix.cards.cca.blocks import Parameters
    from apmatrix.cards.context import CardContext
    from apmatrix.cards.masterkeys import KeyRegisters


class VerbCall(NamedTuple):
    """One request to a verb.

    ``data_room`` is the number of bytes that the sender has room for after the CPRBX, ``control_domains`` is what
    it may administer.
    """

    card: CardContext
    domain: int
    parameters: Parameters
    data_room: int
    control_domains: Mask

    def require(self, *rules: bytes) -> None:
        """Raise CcaError unless the rule array is exactly ``rules``."""
        if self.parameters.rules != rules:
            raise CcaError(Reason.BAD_RULE)

    def key_parts(self, count: int) -> list[Part]:
        """The first ``count`` parts of the key block; CcaError if there are fewer."""
        parts = parse_parts(self.parameters.keys)
        if len(parts) < count:
            raise CcaError(Reason.BAD_LENGTH)
        return parts[:count]

    def registers(self, key_set: KeySet) -> KeyRegisters:
        """The registers of ``key_set`` in the queue's domain."""
        return self.card.keyring.registers(self.domain, key_set)


class Result(NamedTuple):
    """The result of a verb: the blocks of the reply, and the data after the control block."""

    rules: tuple[bytes, ...] = ()
    vud: bytes = b""
    keys: bytes = b""
    data: bytes = b""

    def __repr__(self) -> str:
        return "<Result>"


Verb: TypeAlias = Callable[[VerbCall], Result]
"""A verb; CcaError if it refuses."""

Verbs: TypeAlias = Mapping[bytes, Verb]
"""Verbs by function code."""
