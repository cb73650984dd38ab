"""Which adapter and domain numbers can exist: without APXA 64 adapters and 16 domains, with it what QCI reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import WITHOUT_APXA, Mask, Matrix

if TYPE_CHECKING:
    from apmatrix.arch import Configuration


def up_to(highest_adapter: int, highest_domain: int) -> Matrix:
    """All adapters and domains up to these numbers."""
    domains = Mask.up_to(highest_domain)
    return Matrix(Mask.up_to(highest_adapter), domains, domains)


def of_machine(highest_adapter: int, highest_domain: int, *, apxa: bool) -> Matrix:
    """What can exist in a machine with these highest numbers (hardware.md 2.3)."""
    highest = up_to(highest_adapter, highest_domain)
    return highest if apxa else highest & WITHOUT_APXA


def of_bus(info: Configuration) -> tuple[int, int]:
    """The highest adapter and domain number of the AP bus (BUS-4): a highest number of 0 counts as not reported."""
    return (
        (info.apxa and info.highest_adapter) or len(WITHOUT_APXA.apm) - 1,
        (info.apxa and info.highest_domain) or len(WITHOUT_APXA.aqm) - 1,
    )


def of_mdev(info: Configuration) -> Matrix:
    """What can be assigned to a new mdev (MTX-4); unlike the bus, this accepts a highest number of 0."""
    return up_to(info.highest_adapter, info.highest_domain) if info.apxa else WITHOUT_APXA
