"""The machine on which the transcripts of tests/data/oracle were recorded."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apmatrix.arch import CardFunctions, CardType, Facility, Mask, Matrix
from apmatrix.cards import Inline, ManualClock
from apmatrix.linux import LinuxSystem
from apmatrix.machine import ActivationProfile, Cpc

if TYPE_CHECKING:
    from apmatrix.cards import Clock
    from apmatrix.machine import Level

DESCRIPTION = Path(__file__).parents[1] / "data" / "oracle" / "machine.toml"


MESSAGE_LIMIT = 3
"""What the cards of all recordings take, in units of 4 KiB."""


def recorded_system() -> LinuxSystem:
    """That machine's Linux, freshly booted."""
    machine, level = recorded_machine(ManualClock())
    return LinuxSystem(machine, level, name=level.name)


def recorded_machine(clock: Clock, file: Path = DESCRIPTION) -> tuple[Cpc, Level]:
    """The machine and the level of its LPAR; with a manual clock the cards work when they are looked at."""
    description = tomllib.loads(file.read_text())
    machine = _machine(description["machine"], clock)
    for entry in description["adapter"]:
        for number in Mask.parse_ids(str(entry.get("ids", entry.get("id")))):
            adapter = machine.add_adapter(
                number,
                CardType.parse(entry["type"]),
                functions=CardFunctions(entry["functions"]),
                depth=entry["depth"],
                message_limit=MESSAGE_LIMIT,
            )
            if isinstance(clock, ManualClock):
                adapter.workers = Inline()
    [lpar] = description["lpar"]
    matrix = Matrix(*(Mask.parse_ids(lpar[key]) for key in ("adapters", "usage_domains", "control_domains")))
    return machine, machine.add_lpar(ActivationProfile(lpar["name"], matrix)).level


def _machine(entry: dict[str, Any], clock: Clock) -> Cpc:
    return Cpc(
        entry["name"],
        clock=clock,
        facilities=(Facility.QCI, Facility.APFT, Facility.MSA3),
        features=entry["features"],
        max_adapter=entry["max_adapter"],
        max_domain=entry["max_domain"],
        channel_reports=False,  # QEMU delivers none to a real kernel
    )
