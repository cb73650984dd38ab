"""Files that come with the package, and are elsewhere in a checkout."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


def shipped(name: str, in_checkout: str) -> Traversable:
    """The folder ``name`` of the package, or else the one that a wheel takes it from, relative to the checkout."""
    folder = resources.files("apmatrix").joinpath(name)
    return folder if folder.is_dir() else Path(__file__).parents[3] / in_checkout
