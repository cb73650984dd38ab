"""Master keys: the registers of one domain and what can be done with them (hardware.md section 6).

Everything here is a value: a transition returns the new registers, so that a card can store them before it uses
them. No key is ever shown.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import reduce
from typing import TYPE_CHECKING, Final, TypeVar

from apmatrix.arch import KeySet
from apmatrix.cards.errors import CardError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

V = TypeVar("V")

_PATTERN_PREFIX: Final = b"\x01"


class MasterKeyError(CardError):
    """A register is not in the state that the command needs, or a key part is unfit; nothing has changed."""


class NewState(Enum):
    """How far the new register is. COMMITTED exists for EP11's wrapping key only."""

    EMPTY = "empty"
    PARTIAL = "partial"
    FULL = "full"
    COMMITTED = "committed"


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A key with its verification pattern."""

    key: bytes = field(repr=False)
    pattern: bytes

    @classmethod
    def of(cls, key_set: KeySet, key: bytes) -> MasterKey:
        """The key with the leading bytes of a SHA-256 over it as pattern (hardware.md 6.3)."""
        return cls(key, hashlib.sha256(_PATTERN_PREFIX + key).digest()[: key_set.pattern_size])

    @classmethod
    def of_parts(cls, key_set: KeySet, parts: Iterable[bytes]) -> MasterKey:
        """The key that parts make when they are combined by XOR; one part is the key itself."""
        return cls.of(key_set, reduce(_xor, parts))


@dataclass(frozen=True, slots=True)
class KeyRegisters:
    """The registers of one set in one domain: new, current and old.

    While the new one is partially full, its key is the XOR of the parts so far and has no pattern to show.
    """

    key_set: KeySet
    new: MasterKey | None = None
    new_state: NewState = NewState.EMPTY
    current: MasterKey | None = None
    old: MasterKey | None = None

    @property
    def empty(self) -> bool:
        """True if none of them holds a key."""
        return self.new is self.current is self.old is None

    def load_first(self, part: bytes) -> KeyRegisters:
        """EMPTY → PARTIAL; MasterKeyError in any other state or for a part of the wrong length."""
        return self._load(part, None, NewState.PARTIAL)

    def load_middle(self, part: bytes) -> KeyRegisters:
        """PARTIAL → PARTIAL: another part."""
        return self._load(part, self._partial(), NewState.PARTIAL)

    def load_last(self, part: bytes) -> KeyRegisters:
        """PARTIAL → FULL: the last part; the pattern becomes visible."""
        return self._load(part, self._partial(), NewState.FULL)

    def import_whole(self, key: bytes) -> KeyRegisters:
        """EMPTY → FULL with one key: how EP11 imports its wrapping key (there called uncommitted)."""
        return self._load(key, None, NewState.FULL)

    def commit(self) -> KeyRegisters:
        """FULL → COMMITTED (EP11)."""
        self._require(NewState.FULL)
        return replace(self, new_state=NewState.COMMITTED)

    def clear(self) -> KeyRegisters:
        """Empty the new register."""
        return replace(self, new=None, new_state=NewState.EMPTY)

    def set(self) -> KeyRegisters:
        """FULL: the current key becomes the old one, the new one current (CCA)."""
        self._require(NewState.FULL)
        return KeyRegisters(self.key_set, current=self.new, old=self.current)

    def finalize(self) -> KeyRegisters:
        """COMMITTED: the new key becomes the current one; what the previous one wrapped is lost (EP11)."""
        self._require(NewState.COMMITTED)
        return KeyRegisters(self.key_set, current=self.new)

    def given(self, key: MasterKey) -> KeyRegisters:
        """Empty registers with ``key`` as the current one, as if it had been loaded and set; others as they are."""
        return replace(self, current=key) if self.empty else self

    def opener(self, pattern: bytes) -> MasterKey | None:
        """The current or the old key, whichever ``pattern`` names: what a secure key can be opened with."""
        for candidate in (self.current, self.old):
            if candidate is not None and hmac.compare_digest(candidate.pattern[: len(pattern)], pattern):
                return candidate
        return None

    def _partial(self) -> MasterKey:
        self._require(NewState.PARTIAL)
        assert self.new is not None
        return self.new

    def _load(self, part: bytes, before: MasterKey | None, state: NewState) -> KeyRegisters:
        if before is None:
            self._require(NewState.EMPTY)
        if len(part) != self.key_set.key_size:
            raise MasterKeyError(
                f"a part of the {self.key_set.label} master key has {self.key_set.key_size} bytes, not {len(part)}"
            )
        parts = (part,) if before is None else (part, before.key)
        return replace(self, new=MasterKey.of_parts(self.key_set, parts), new_state=state)

    def _require(self, state: NewState) -> None:
        if self.new_state is not state:
            raise MasterKeyError(
                f"the new {self.key_set.label} master key register is {self.new_state.value}, "
                f"the command needs it {state.value}"
            )


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def to_record(registers: Mapping[int, Mapping[KeySet, KeyRegisters]]) -> dict[str, object]:
    """The registers of all domains for a store, as plain values."""
    return {
        str(domain): {
            key_set.label: {
                "new": _hex(content.new),
                "new_state": content.new_state.value,
                "current": _hex(content.current),
                "old": _hex(content.old),
            }
            for key_set, content in sets.items()
        }
        for domain, sets in registers.items()
    }


def from_record(
    record: Mapping[str, Mapping[str, Mapping[str, str | None]]],
) -> dict[int, dict[KeySet, KeyRegisters]]:
    """The reverse of :func:`to_record`; ValueError or KeyError for anything else."""
    labels = {key_set.label: key_set for key_set in KeySet}
    return {
        int(domain): {labels[label]: _registers(labels[label], content) for label, content in sets.items()}
        for domain, sets in record.items()
    }


def _registers(key_set: KeySet, content: Mapping[str, str | None]) -> KeyRegisters:
    def key(name: str) -> MasterKey | None:
        text = content[name]
        return None if text is None else MasterKey.of(key_set, bytes.fromhex(text))

    return KeyRegisters(key_set, key("new"), NewState(content["new_state"]), key("current"), key("old"))


def _hex(key: MasterKey | None) -> str | None:
    return None if key is None else key.key.hex()
