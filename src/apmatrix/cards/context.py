"""What a coprocessor knows about itself and the machine it is in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from apmatrix.cards.cpacf import WrappingKey
from apmatrix.cards.keyring import Keyring
from apmatrix.cards.vault import MemoryStore, Store

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class CardContext:
    """A card's serial number (8 characters), firmware version and keys, and what it shares with its machine.

    ``domains`` is the number of domains of the machine, ``calendar`` returns the card's date and time.
    """

    serial: str
    keyring: Keyring
    wrapping_key: WrappingKey = field(default_factory=WrappingKey)
    domains: int = 256
    firmware_version: tuple[int, int] = (6, 1)
    calendar: Callable[[], datetime] = lambda: datetime.now(UTC)

    @classmethod
    def of(
        cls,
        number: int,
        store: Store | None = None,
        wrapping_key: WrappingKey | None = None,
        domains: int = 256,
    ) -> CardContext:
        """The context of adapter ``number``; its keys are lost with the process unless there is a store."""
        keyring = Keyring(f"card-{number:02x}.keys", MemoryStore() if store is None else store)
        return cls(f"93AABA{number:02X}", keyring, wrapping_key or WrappingKey(), domains)
