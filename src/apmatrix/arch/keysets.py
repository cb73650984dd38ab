"""The sets of master keys that a domain has (hardware.md 6.1)."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal

from apmatrix.arch.info import Mode

SetName = Literal["AES", "APKA", "ASYM", "WK"]
"""The labels of the sets."""


class KeySet(Enum):
    """The sets of master keys, with the bytes of a key and of its verification pattern (hardware.md 6.1)."""

    AES = ("AES", 32, 8)
    APKA = ("APKA", 32, 8)
    ASYM = ("ASYM", 24, 16)
    WK = ("WK", 32, 32)

    def __init__(self, label: str, key_size: int, pattern_size: int) -> None:
        self.label = label
        self.key_size = key_size
        self.pattern_size = pattern_size

    @classmethod
    def of(cls, label: SetName) -> KeySet:
        """The set that is called ``label``."""
        return cls[label]

    @property
    def mode(self) -> Mode:
        """The mode of the cards that have it."""
        return Mode.EP11 if self is KeySet.WK else Mode.CCA

    def read_part(self, content: bytes) -> bytes:
        """The key part in the content of a file: the bytes themselves, or their hexadecimal digits.

        ValueError, which never quotes the content, if it is not a part of such a key.
        """
        if len(content) == self.key_size:
            return content
        try:
            part = bytes.fromhex(content.decode("ascii").strip().removeprefix("0x"))
        except ValueError:
            part = b""
        if len(part) != self.key_size:
            raise ValueError(
                f"is not a part of the {self.label} master key: it must have {self.key_size} bytes, or "
                f"{2 * self.key_size} hexadecimal digits"
            )
        return part


SETS_OF: Final = {mode: tuple(each for each in KeySet if each.mode is mode) for mode in Mode}
"""The sets that the domains of a card have, by the card's mode; none for accelerators."""
