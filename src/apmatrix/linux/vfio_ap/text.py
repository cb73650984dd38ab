"""The text forms of an mdev's attributes (MTX-40 to MTX-46)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from apmatrix.arch import Matrix
from apmatrix.linux import masks
from apmatrix.linux.errors import BadValue, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.arch import Mask

CONFIG_LENGTH = 201
"""Bytes of a full ap_config value: three masks of 66, two commas, a newline."""


def matrix_text(matrix: Matrix, longest: int | None) -> str:
    """The lines of ``matrix`` and ``guest_matrix``, cut at ``longest`` bytes (MTX-40, MTX-41)."""
    text = "".join(_matrix_lines(matrix))
    return text if longest is None else text[:longest]


def _matrix_lines(matrix: Matrix) -> Iterator[str]:
    if matrix.apm and matrix.aqm:
        return (f"{apqn}\n" for apqn in matrix.apqns())
    if matrix.apm:
        return (f"{adapter:02x}.\n" for adapter in matrix.apm)
    return (f".{domain:04x}\n" for domain in matrix.aqm)


def domain_lines(domains: Mask) -> str:
    """The lines of ``control_domains`` (MTX-42)."""
    return "".join(f"{domain:04x}\n" for domain in domains)


def config_text(matrix: Matrix) -> str:
    """The value of ``ap_config`` (MTX-45)."""
    return f"{matrix.apm},{matrix.aqm},{matrix.adm}\n"


def parse_config(text: str) -> Matrix:
    """Read an ``ap_config`` write (MTX-46). Raises BadValue."""
    pieces = re.split("([,\n])", text[:CONFIG_LENGTH])
    fields = pieces[0::2]
    ended = len(pieces) // 2
    if ended < 2:
        raise BadValue(
            f"{quoted(text)} has fewer than three masks",
            remedy="write adapters, domains and control domains with commas",
        )
    return Matrix(*(masks.parse_absolute(field) for field in fields[:3]))
