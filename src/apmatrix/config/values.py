"""Values as a configuration file writes them: numbers, lists of numbers, mask writes.

Every function here takes a value from TOML, and raises ValueError with a sentence if it does not fit.
"""

from __future__ import annotations

from datetime import date, time
from typing import TYPE_CHECKING, Final

from apmatrix.arch import CardFunctions, CardType, Mask
from apmatrix.arch.mask import parse_number
from apmatrix.rules.keyparts import looks_like_a_key

if TYPE_CHECKING:
    from collections.abc import Callable


class Number(int):
    """An adapter or domain number: ``5``, ``0xab``, or text as the kernel takes it (``"0253"``)."""


class Writes(tuple[str, ...]):
    """Texts that are written to one sysfs attribute, one after the other."""

    __slots__ = ()


class FaultWords(tuple[str, ...]):
    """Faults, each written as words; their meaning is not known here."""

    __slots__ = ()


class KeySource(str):
    """Where a master key comes from, if not from parts: the word ``random``."""

    __slots__ = ()


class PartFiles(tuple[str, ...]):
    """The names of files with parts of a key."""

    __slots__ = ()


_LONGEST_NUMBER: Final = 64  # bits


def shown(value: object) -> str:
    """A value of the file for a message, as TOML writes it, in one short line; never what may be a key."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, str) and looks_like_a_key(value):
        return "a text that looks like a key"
    if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER:
        return "a very large number"
    if isinstance(value, list):
        text = f"[{', '.join(map(shown, value))}]"
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = value.isoformat() if isinstance(value, date | time) else repr(value)
    return text if len(text) <= 60 else f"{text[:56]}..."


def _number(value: object) -> Number:
    if isinstance(value, str):
        return Number(parse_number(value))
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= 255:
            raise ValueError(f"{shown(value)} is outside 0-255")
        return Number(value)
    raise ValueError(f"{shown(value)} is not a number such as 4, 0xab or '0253'")


def _mask(value: object) -> Mask:
    if isinstance(value, str):
        return Mask.parse_ids(value)
    if isinstance(value, list):
        return Mask.of(*map(_number, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return Mask.of(_number(value))
    raise ValueError(f"{shown(value)} is not a list of numbers such as '4,0xab', '1-3,7' or [5, 6]")


def _writes(value: object) -> Writes:
    return Writes(_texts(value, "'-5,-6'"))


def _fault_words(value: object) -> FaultWords:
    return FaultWords(_texts(value, "'verb=PK reply=0x90 times=1'"))


def _texts(value: object, example: str) -> list[str]:
    """A text, or a list of them."""
    parts = value if isinstance(value, list) else [value]
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) != len(parts):
        raise ValueError(f"{shown(value)} is not a text such as {example}, nor a list of such texts")
    return texts


def _key_source(value: object) -> KeySource:
    if value != "random":  # the value may be a key, so no message has it
        raise ValueError("a key is never written into the file: write 'random', or parts, a list of names of files")
    return KeySource(value)


def _part_files(value: object) -> PartFiles:
    parts = value if isinstance(value, list) else [value]
    names = [part for part in parts if isinstance(part, str) and part and "\0" not in part]
    if len(names) != len(parts):
        raise ValueError("parts are a list of names of files, such as ['part1', 'part2']")
    if any(map(looks_like_a_key, names)):
        raise ValueError(
            "a part of a key is never written into the file: store it in a file of its own, for its owner only, and "
            "write its name"
        )
    return PartFiles(names)


def _card_type(value: object) -> CardType:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a card type in quotes, such as 'CEX8C'")
    return CardType.parse(value)


def _functions(value: object) -> CardFunctions:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 32:
        raise ValueError(f"{shown(value)} is not a word of TAPQ facility bits such as 0xf2000000")
    return CardFunctions(value)


READERS: dict[type, Callable[[object], object]] = {
    Number: _number,
    Mask: _mask,
    Writes: _writes,
    FaultWords: _fault_words,
    CardType: _card_type,
    CardFunctions: _functions,
    KeySource: _key_source,
    PartFiles: _part_files,
}
"""How to read the types that TOML does not know."""
