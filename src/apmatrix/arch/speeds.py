"""How fast cards are, relative to each other: the speed index of Linux's zcrypt drivers (hardware.md 9.1)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from apmatrix.arch.info import Mode


class Work(IntEnum):
    """Kinds of requests, as far as speed goes: the columns of the table."""

    MODEXPO_1K = 0
    MODEXPO_2K = 1
    MODEXPO_4K = 2
    CRT_1K = 3
    CRT_2K = 4
    CRT_4K = 5
    RANDOM = 6
    SECURE_KEY = 7


RATINGS: Final = {
    (10, Mode.ACCELERATOR): (14, 19, 249, 42, 228, 1458, 0, 0),
    (11, Mode.ACCELERATOR): (8, 9, 20, 18, 66, 458, 0, 0),
    (12, Mode.ACCELERATOR): (6, 9, 20, 17, 65, 438, 0, 0),
    (13, Mode.ACCELERATOR): (6, 8, 17, 15, 54, 362, 0, 0),
    (14, Mode.ACCELERATOR): (6, 8, 17, 15, 54, 362, 0, 0),
    (10, Mode.CCA): (59, 69, 308, 83, 278, 2204, 209, 40),
    (11, Mode.CCA): (24, 31, 50, 37, 90, 479, 27, 10),
    (12, Mode.CCA): (16, 20, 32, 27, 77, 455, 24, 9),
    (13, Mode.CCA): (14, 16, 26, 23, 64, 376, 23, 8),
    (14, Mode.CCA): (14, 16, 26, 23, 64, 376, 23, 8),
    (10, Mode.EP11): (0, 0, 0, 0, 0, 0, 0, 50),
    (11, Mode.EP11): (0, 0, 0, 0, 0, 0, 0, 10),
    (12, Mode.EP11): (0, 0, 0, 0, 0, 0, 0, 9),
    (13, Mode.EP11): (0, 0, 0, 0, 0, 0, 0, 8),
    (14, Mode.EP11): (0, 0, 0, 0, 0, 0, 0, 8),
}
"""The relative cost of a request by hardware type and mode, lower is faster; 0 for what such a card cannot do."""


def rating(hardware_type: int, mode: Mode, work: Work) -> int:
    """The cost of one request of this kind on a card of this type (10 for CEX4 to 14 for CEX8) and mode."""
    return RATINGS[hardware_type, mode][work]


def rsa_work(length: int, *, crt: bool) -> Work:
    """The kind of an RSA request with a modulus of ``length`` bytes."""
    size = (length > 128) + (length > 256)
    return Work((Work.CRT_1K if crt else Work.MODEXPO_1K) + size)
