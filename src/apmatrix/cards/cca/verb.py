"""What a verb of the CCA card gets, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from apmatrix.cards.cca.errors import CcaError, Reason

if TYPE_CHECKING:
    from apmatrix.cards.cca.blocks import Parameters
    from apmatrix.cards.messages import Cprbx


class Call(NamedTuple):
    """One request to a verb. ``data_room`` is the number of bytes that the sender has room for behind the CPRBX."""

    domain: int
    control: Cprbx
    parameters: Parameters
    data_room: int

    def require(self, *rules: bytes) -> None:
        """CcaError unless the rule array is exactly ``rules``."""
        if self.parameters.rules != rules:
            raise CcaError(Reason.BAD_RULE)


class Result(NamedTuple):
    """What a verb answers: the blocks of the reply and the data behind the control block."""

    rules: tuple[bytes, ...] = ()
    vud: bytes = b""
    keys: bytes = b""
    data: bytes = b""

    def __repr__(self) -> str:
        return "<Result>"


Verb: TypeAlias = Callable[[Call], Result]
"""A verb; CcaError if it refuses."""

Verbs: TypeAlias = Mapping[bytes, Verb]
"""Verbs by function code."""
