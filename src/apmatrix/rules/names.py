"""What a name of a Linux system or a guest means."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Names = tuple[str, ...]
"""The names that lead to a system: its LPAR's, then those of the guests down to it."""


def meant(name: str, known: Iterable[Names]) -> list[Names]:
    """What ``name`` may mean of all that is known: more than one if it is ambiguous, none if it is unknown.

    A full name, from the LPAR down (``kvm1/guest1``), means that one only. Any other name means all whose last names
    it has: ``guest1``, or ``guest1/guest2``.
    """
    parts = tuple(name.split("/"))
    found = [names for names in known if names[-len(parts) :] == parts]
    return [names for names in found if names == parts] or found
