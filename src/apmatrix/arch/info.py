"""Information words: what TAPQ, QCI and QACT report (hardware.md section 2)."""

from __future__ import annotations

from enum import Enum

from apmatrix.arch.layout import Layout, bits, flag, octets
from apmatrix.arch.mask import Mask
from apmatrix.arch.matrix import Matrix


class Mode(Enum):
    """The kind of firmware on an adapter: the last letter of a card type."""

    ACCELERATOR = "A"
    CCA = "C"
    EP11 = "P"


class CardFunctions(Layout, width=32):
    """The facility bits of an adapter: the left word of TAPQ's GR2 (hardware.md 2.1).

    The letters are lszcrypt's.
    """

    special_commands = flag(0)  # S: APSC
    modexpo_4k = flag(1)  # M
    crt_4k = flag(2)  # C
    coprocessor = flag(3)  # D: CCA
    accelerator = flag(4)  # A
    ep11 = flag(5)  # X
    apxa = flag(6)  # N
    stateless_filtering = flag(7)  # H
    full_function = flag(8)  # F
    restricted = flag(9)  # R
    bind_state = bits(16, 17)
    leading = bits(0, 5)  # S to X, all that zcrypt's device status has room for
    of_the_queue = bits(16, 31)  # may differ between the queues of an adapter

    @property
    def modes(self) -> CardFunctions:
        """The mode bits alone."""
        return CardFunctions(coprocessor=self.coprocessor, accelerator=self.accelerator, ep11=self.ep11)

    @property
    def mode(self) -> Mode | None:
        """The adapter's mode as Linux sees it: the first of accelerator, CCA, EP11 (DEV-2); None without one."""
        if self.accelerator:
            return Mode.ACCELERATOR
        if self.coprocessor:
            return Mode.CCA
        return Mode.EP11 if self.ep11 else None

    def letters(self) -> str:
        """The FUNCTIONS column of ``lszcrypt -V``, for example ``S--D--NHF-``."""
        return "".join(letter if self.value & (1 << (31 - bit)) else "-" for bit, letter in enumerate("SMCDAXNHFR"))


def longest_message(limit: int) -> int:
    """Bytes of the longest message that an adapter takes; ``limit`` counts units of 4 KiB, 0 means 12 KiB."""
    return limit * 4096 or 12288


class QueueInfo(Layout, width=64):
    """TAPQ's GR2: facilities, type, highest domain, message size and depth (hardware.md 2.1)."""

    functions = bits(0, 31, CardFunctions)
    bind_state = bits(16, 17)
    hardware_type = bits(32, 39)
    highest_domain = bits(40, 47)
    message_limit = bits(52, 55)  # in 4 KiB units, 0 means 12 KiB
    depth_code = bits(60, 63)  # queue depth - 1

    @property
    def depth(self) -> int:
        """Number of requests and replies that the queue can hold."""
        return self.depth_code + 1

    @property
    def max_message_size(self) -> int:
        """Longest message in bytes."""
        return longest_message(self.message_limit)

    @property
    def without_facilities(self) -> QueueInfo:
        """What TAPQ reports to a caller that does not ask for the facilities: type and depth."""
        return QueueInfo(hardware_type=self.hardware_type, depth_code=self.depth_code)


class Configuration(Layout, size=128):
    """The QCI block: features, limits and the level's own masks (hardware.md 2.3)."""

    apsc = flag(0)
    apxa = flag(1)
    qact = flag(2)
    rc8a = flag(3)
    apsb = flag(8)
    highest_adapter = octets(4, 1)
    highest_domain = octets(5, 1)
    apm = octets(16, 32, Mask)
    aqm = octets(48, 32, Mask)
    adm = octets(80, 32, Mask)
    flags = octets(0, 4)

    @property
    def matrix(self) -> Matrix:
        """The masks of adapters, usage domains and control domains, as one value."""
        return Matrix(self.apm, self.aqm, self.adm)

    def feature_names(self) -> tuple[str, ...]:
        """The set features in the order that Linux prints them (BUS-10)."""
        named = (
            ("APSC", self.apsc),
            ("APXA", self.apxa),
            ("QACT", self.qact),
            ("RC8A", self.rc8a),
            ("APSB", self.apsb),
        )
        return tuple(name for name, present in named if present)


FEATURES = ("APSC", "APXA", "QACT", "RC8A", "APSB")
"""Names of the QCI features, as sysfs and the configuration file write them."""


class CompatibleType(Layout, width=64):
    """QACT's GR2 on output: the compatible type that stands for an unknown newer one."""

    hardware_type = bits(32, 39)
    version = bits(48, 63)
