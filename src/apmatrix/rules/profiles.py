"""Whether an activation profile can be activated (hardware.md 7.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from apmatrix.arch import EMPTY_MATRIX, Matrix
from apmatrix.rules.claims import Conflict, conflicts

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

H = TypeVar("H", bound="Hashable")


@dataclass(frozen=True, slots=True)
class Beyond:
    """A profile names adapters or domains that cannot exist in the machine."""

    matrix: Matrix


def objections(profile: Matrix, highest: Matrix, others: Iterable[tuple[H, Matrix]]) -> list[Beyond | Conflict[H]]:
    """Every reason not to activate an LPAR with ``profile`` beside the active ``others``; empty if it can be.

    ``highest`` has every number that can exist. Adapters that are not plugged are allowed: a profile may be written
    before the card comes.
    """
    beyond = profile - highest
    found: list[Beyond | Conflict[H]] = [Beyond(beyond)] if beyond != EMPTY_MATRIX else []
    return [*found, *conflicts(profile, others)]
