"""What callers may write for an APQN, for numbers, for a path below /sys."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Literal, get_args

from apmatrix.arch import Apqn, Mask

__tracebackhide__ = True  # pytest shows the caller's line instead

AnyApqn = Apqn | str | tuple[int, int]
"""An APQN: ``"05.00ab"``, ``(5, 0xab)`` or an Apqn."""

Numbers = int | str | Iterable[int]
"""Adapters or domains: ``5``, ``"5,6"``, ``"1-3,0xab"``, ``[5, 6]`` or a Mask."""

AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""A path below /sys: ``/sys/bus/ap``, ``bus/ap``, or the ``/devices/ap`` of a uevent."""


Policy = Literal["linux", "protective"]
"""How a Linux system decides: as Linux does, or as docs/protective.md says."""

State = Literal["online", "deconfigured", "checkstopped"]
"""The state of a card."""


def one_of(value: str, choices: object, what: str) -> str:
    """A value that a Literal type has; ValueError names the choices otherwise."""
    known = get_args(choices)
    if value not in known:
        raise ValueError(f"{value!r} is not {what}: choose {', '.join(map(repr, known[:-1]))} or {known[-1]!r}")
    return value


def words_of(command: Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    """The words of a command; ValueError if there are none."""
    words = tuple(os.fspath(word) for word in command)
    if not words:
        raise ValueError("the command has no words: give its name, and then its arguments")
    return words


def as_apqn(apqn: AnyApqn) -> Apqn:
    """The Apqn; ValueError if it is not one."""
    if isinstance(apqn, str):
        return Apqn.parse(apqn)
    found = Apqn(*apqn)
    Mask.of(*found)  # refuses numbers outside 0-255
    return found


def as_mask(numbers: Numbers, argument: str) -> Mask:
    """The Mask with these numbers; ValueError names the argument, and what is no number from 0 to 255."""
    try:
        if isinstance(numbers, str):
            return Mask.parse_ids(numbers)
        return Mask.of(numbers) if isinstance(numbers, int) else Mask.of(*numbers)
    except ValueError as error:
        raise ValueError(f"argument {argument}: {error}") from None


def below_sys(path: AnyPath) -> str:
    """The path as the tree takes it: relative to /sys."""
    text = os.fsdecode(path)
    return text[len("/sys") :].lstrip("/") if f"{text}/".startswith("/sys/") else text.lstrip("/")
