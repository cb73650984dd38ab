"""The arguments of a function of the EP11 card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from apmatrix.arch import KeySet
from apmatrix.cards.ep11.errors import Ep11Error, ReturnValue

if TYPE_CHECKING:
    from apmatrix.arch import Mask
    from apmatrix.cards.context import CardContext
    from apmatrix.cards.ep11.payload import Payload
    from apmatrix.cards.masterkeys import KeyRegisters


class FunctionCall(NamedTuple):
    """One request to a function; ``command.domain`` is the domain that it acts on."""

    card: CardContext
    command: Payload
    control_domains: Mask

    @property
    def registers(self) -> KeyRegisters:
        """The wrapping key registers of the domain."""
        return self.card.keyring.registers(self.command.domain, KeySet.WK)

    def strings(self, count: int) -> tuple[bytes, ...]:
        """The first ``count`` strings after function and domain; Ep11Error if there are fewer."""
        if len(self.command.strings) < count:
            raise Ep11Error(ReturnValue.ARGUMENTS_BAD)
        return self.command.strings[:count]


Handler: TypeAlias = Callable[[FunctionCall], bytes]
"""A function: the reply's data; Ep11Error if it refuses."""

Handlers: TypeAlias = Mapping[int, Handler]
"""The functions of the card, by number."""
