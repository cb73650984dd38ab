"""Bring up a machine of 256 adapters and 256 domains, and the Linux in it; prints JSON."""

from __future__ import annotations

import json
import time
from pathlib import Path

from apmatrix.arch import ALL_BITS, CardType, Matrix
from apmatrix.linux import LinuxSystem
from apmatrix.machine import ActivationProfile, Cpc


class _Plain:
    def __init__(self, number: int) -> None:
        self.number = number
        self.attributes = {"number": number}


def _megabytes() -> float:
    """The most that was resident; getrusage would tell of the process that started this one, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Measure."""
    bare = _megabytes()
    started = time.perf_counter()
    machine = Cpc("big")
    for number in range(256):
        machine.add_adapter(number, CardType.parse("CEX8A"))
    lpar = machine.add_lpar(ActivationProfile("lpar", Matrix(ALL_BITS, ALL_BITS, ALL_BITS)))
    machine_s = time.perf_counter() - started
    started = time.perf_counter()
    linux = LinuxSystem(machine, lpar.level)
    linux_s = time.perf_counter() - started
    megabytes = _megabytes()
    linux.shut_down()
    started = time.perf_counter()
    plain = [_Plain(number) for number in range(65536)]
    objects_s = time.perf_counter() - started
    del plain
    print(
        json.dumps(
            {
                "machine_s": machine_s,
                "linux_s": linux_s,
                "megabytes": megabytes,
                "bare_megabytes": bare,
                "objects_s": objects_s,
            }
        )
    )


if __name__ == "__main__":
    main()
