"""Random scripts for the operations of tests/data/oracle/sysops.c, on masks, queues and mediated devices.

Every operation is followed by the uevents and kernel messages that it caused, and by a snapshot.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MATRIX: Final = "devices/vfio_ap/matrix"
CREATE: Final = f"{MATRIX}/mdev_supported_types/vfio_ap-passthrough/create"
UUIDS: Final = tuple(f"{number:08x}-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
ADAPTERS: Final = (4, 5, 6, 10)
DOMAINS: Final = (4, 0x47, 0xAB, 0xFF)
FULL: Final = "0x" + "f" * 64
EVENT_SOURCES: Final = (
    MATRIX,
    "devices/vfio_ap",
    "bus/ap/drivers/vfio_ap",
    "bus/mdev/drivers/vfio_ap_mdev",
    "devices/virtual/vfio/0",
    *(f"{MATRIX}/{uuid}" for uuid in UUIDS),
    *(f"{MATRIX}/{uuid}/vfio-dev/vfio0" for uuid in UUIDS),
)
SCENARIOS: Final = 12
STEPS: Final = 25


def scenarios(seed: int) -> Iterator[str]:
    """The lines of one boot's script."""
    chosen = random.Random(seed)
    yield from ("# scenario boot", "W bus/ap/config_time 120\\n", "N", "S")
    for number in range(SCENARIOS):
        yield f"# scenario {seed}.{number}"
        yield from _fresh()
        for _ in range(STEPS):
            yield from chosen.choice(OPERATIONS)(chosen)
            yield from ("N", "S")


def _fresh() -> Iterator[str]:
    """Back to the beginning, whatever the scenario before has left; what fails here fails in both."""
    yield from ("M tapq off", *(f"M state {adapter} online" for adapter in ADAPTERS))
    yield "M profile 4-6,10 4,0x47,0xab,0xff 4,0x10,0x47,0xab,0xff"
    yield from (f"W {MATRIX}/{uuid}/remove 1\\n" for uuid in UUIDS)
    for adapter in ADAPTERS:
        yield from (f"W bus/ap/devices/{adapter:02x}.{domain:04x}/driver_override \\n" for domain in DOMAINS)
    yield from (f"W bus/ap/{mask} {FULL}\\n" for mask in ("apmask", "aqmask"))
    yield from ("W bus/ap/scans 1\\n", "N", "S")


def _mask(chosen: random.Random) -> Iterator[str]:
    name, numbers = chosen.choice((("apmask", ADAPTERS), ("aqmask", DOMAINS)))
    relative = ",".join(f"{chosen.choice('+-')}{number}" for number in chosen.sample(numbers, chosen.randint(1, 3)))
    absolute = f"0x{chosen.getrandbits(256):064x}"
    yield f"W bus/ap/{name} {chosen.choices((relative, absolute, FULL, '0x0'), (6, 1, 1, 1))[0]}\\n"


def _create(chosen: random.Random) -> Iterator[str]:
    yield f"W {CREATE} {chosen.choice(UUIDS)}\\n"


def _remove(chosen: random.Random) -> Iterator[str]:
    yield f"W {MATRIX}/{chosen.choice(UUIDS)}/remove 1\\n"


def _assign(chosen: random.Random) -> Iterator[str]:
    kind, numbers = chosen.choice((("adapter", ADAPTERS), ("domain", DOMAINS), ("control_domain", DOMAINS)))
    verb = chosen.choice(("assign", "assign", "assign", "unassign"))
    yield f"W {MATRIX}/{chosen.choice(UUIDS)}/{verb}_{kind} {chosen.choice((*numbers, 7))}\\n"


def _config(chosen: random.Random) -> Iterator[str]:
    masks = []
    for numbers in (ADAPTERS, DOMAINS, DOMAINS):
        bits = sum(1 << (255 - number) for number in chosen.sample(numbers, chosen.randint(0, 3)))
        masks.append(f"0x{bits:064x}")
    yield f"W {MATRIX}/{chosen.choice(UUIDS)}/ap_config {','.join(masks)}\\n"


def _driver(chosen: random.Random) -> Iterator[str]:
    name = f"{chosen.choice(ADAPTERS):02x}.{chosen.choice(DOMAINS):04x}"
    yield f"W bus/ap/drivers/{chosen.choice(('vfio_ap', 'cex4queue'))}/{chosen.choice(('bind', 'unbind'))} {name}\\n"


def _override(chosen: random.Random) -> Iterator[str]:
    name = f"{chosen.choice(ADAPTERS):02x}.{chosen.choice(DOMAINS):04x}"
    driver = chosen.choice(("vfio_ap", "cex4queue", "", "nosuch"))
    yield f"W bus/ap/devices/{name}/driver_override {driver}\\n"


def _event(chosen: random.Random) -> Iterator[str]:
    path = chosen.choice(EVENT_SOURCES)
    yield f"W {path}/uevent {chosen.choice(('add', 'change', 'remove', 'online', 'nonsense'))}\\n"


def _machine(chosen: random.Random) -> Iterator[str]:
    """Something changes outside, and the bus is scanned."""
    adapter = chosen.choice(ADAPTERS)
    state = chosen.choice(("online", "deconfigured", "checkstopped"))
    adapters = ",".join(map(str, sorted(chosen.sample(ADAPTERS, chosen.randint(2, 4)))))
    domains = ",".join(map(str, sorted(chosen.sample(DOMAINS, chosen.randint(2, 4)))))
    yield chosen.choice((f"M state {adapter} {state}", f"M profile {adapters} {domains} {domains}"))
    yield "W bus/ap/scans 1\\n"


def _mdev_driver(chosen: random.Random) -> Iterator[str]:
    """Unbind an mdev; it can be bound by no hand and no probe."""
    uuid = chosen.choice(UUIDS)
    file = chosen.choice(("drivers/vfio_ap_mdev/unbind", "drivers/vfio_ap_mdev/bind", "drivers_probe"))
    yield f"W bus/mdev/{file} {uuid}\\n"


def _read(chosen: random.Random) -> Iterator[str]:
    uuid = chosen.choice(UUIDS)
    yield f"L {MATRIX}/{uuid}"
    yield f"D {MATRIX}/{uuid}"
    yield f"R {MATRIX}/{uuid}/uevent"
    yield f"L {MATRIX}"
    for number in (0, 1):
        yield f"L {MATRIX}/{uuid}/vfio-dev/vfio{number}"
        yield f"R devices/virtual/vfio/{number}/uevent"
        yield f"L devices/virtual/vfio/{number}"
        yield f"R kernel/iommu_groups/{number}/name"
        yield f"L kernel/iommu_groups/{number}/devices"
    yield "L class/vfio"
    yield "L class/vfio-dev"


OPERATIONS: Final[tuple[Callable[[random.Random], Iterator[str]], ...]] = (
    *(_mask,) * 4,
    *(_create,) * 3,
    _remove,
    *(_assign,) * 6,
    *(_config,) * 2,
    _driver,
    _override,
    _event,
    *(_machine,) * 2,
    _mdev_driver,
    _read,
)
