"""Card devices: ``/sys/devices/ap/cardAA`` (host.md 2.1)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

from apmatrix.arch import Mode
from apmatrix.linux.core import AttributeGroup, Device, Written
from apmatrix.rules.refusals import BadValue, Failed
from apmatrix.rules.text import scanned_number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.arch import QueueInfo
    from apmatrix.linux.ap.ap_queue import ApQueue
    from apmatrix.linux.ap.bus import ApBus
    from apmatrix.linux.core.attributes import AnyGroup

CARD: AttributeGroup[ApCard] = AttributeGroup()

MODE_NAMES = {Mode.ACCELERATOR: "accel", Mode.CCA: "cca", Mode.EP11: "ep11"}
"""What uevents call the modes (BUS-80)."""


@CARD.show()
def hwtype(card: ApCard) -> str:
    """The type that the card is driven as."""
    return f"{card.hardware_type}\n"


@CARD.show()
def raw_hwtype(card: ApCard) -> str:
    """The type that the hardware reports."""
    return f"{card.info.hardware_type}\n"


@CARD.show()
def depth(card: ApCard) -> str:
    """The depth of the card's queues."""
    return f"{card.depth}\n"


@CARD.show()
def ap_functions(card: ApCard) -> str:
    """The facility bits that TAPQ reported at the first scan."""
    return f"0x{card.info.functions.value:08X}\n"


@CARD.show()
def request_count(card: ApCard) -> str:
    """The number of requests since the counter was last cleared."""
    return f"{card.total}\n"


@CARD.store("request_count")
def clear_request_count(card: ApCard, _value: Written) -> None:
    """Clear the counters of the card and its bound queues, whatever is written."""
    card.total = 0
    for queue in card.bound_queues():
        queue.total = 0


@CARD.show()
def requestq_count(card: ApCard) -> str:
    """The number of requests that wait for the card."""
    return f"{sum(len(queue.requests) for queue in card.bound_queues())}\n"


@CARD.show()
def pendingq_count(card: ApCard) -> str:
    """The number of requests that the card has."""
    return f"{sum(len(queue.pending) for queue in card.bound_queues())}\n"


@CARD.show()
def modalias(card: ApCard) -> str:
    """The alias that modprobe looks for."""
    return f"ap:t{card.hardware_type:02X}\n"


@CARD.show()
def config(card: ApCard) -> str:
    """1 if the adapter is configured."""
    return f"{card.config:d}\n"


@CARD.store("config")
def set_config(card: ApCard, value: Written) -> None:
    """Configure the adapter on or off through SCLP (DEV-1)."""
    wanted = scanned_number(value.text)
    if wanted not in (0, 1):
        raise BadValue(f"{wanted} is neither 0 nor 1")
    if wanted != card.config and not card.bus.configure_adapter(card.number, on=bool(wanted)):
        raise Failed(f"adapter {card.number:02x} cannot be configured from here", number=errno.EOPNOTSUPP)
    card.set_config(bool(wanted))


@CARD.show()
def chkstop(card: ApCard) -> str:
    """1 if the adapter is checkstopped."""
    return f"{card.chkstop:d}\n"


@CARD.show()
def max_msg_size(card: ApCard) -> str:
    """The length of the longest message in bytes."""
    return f"{card.max_message_size}\n"


class ApCard(Device):
    """An adapter of which the system has queues.

    ``mode`` is None if it is neither accelerator nor coprocessor; ``mode_env`` is the mode in the uevents of the card
    and its queues. ``used`` are the queues that the host's own driver has, by domain, in the order of their binding.
    """

    __slots__ = (
        "chkstop",
        "config",
        "hardware_type",
        "info",
        "load",
        "mode",
        "mode_env",
        "number",
        "online",
        "queues",
        "total",
        "used",
    )

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (*Device.GROUPS, CARD)
    KIND = "ap_card"

    bus: ApBus

    def __init__(self, bus: ApBus, number: int, hardware_type: int, info: QueueInfo) -> None:
        super().__init__(bus, "devices/ap", f"card{number:02x}")
        self.number = number
        self.hardware_type = hardware_type
        self.info = info
        self.config = True
        self.chkstop = False
        self.online = True
        self.load = 0
        self.total = 0
        self.queues: dict[int, ApQueue] = {}
        self.used: dict[int, ApQueue] = {}
        self.mode = info.functions.mode
        self.mode_env = (("MODE", MODE_NAMES[self.mode]),) if self.mode else ()

    @property
    def depth(self) -> int:
        """The depth of the queues."""
        return self.info.depth

    @property
    def max_message_size(self) -> int:
        """The length of the longest message in bytes."""
        return self.info.max_message_size

    def bound_queues(self) -> tuple[ApQueue, ...]:
        """The card's queues that have a driver."""
        return tuple(queue for queue in self.queues.values() if queue.driver)

    def host_queues(self) -> tuple[ApQueue, ...]:
        """The card's queues that the host's own driver has, in the order of their binding."""
        return tuple(queue for queue in self.used.values() if queue.has_host_driver)

    def own_env(self) -> Iterable[tuple[str, str]]:
        """Type, alias and mode (BUS-80)."""
        yield "DEV_TYPE", f"{self.hardware_type:04X}"
        yield "MODALIAS", f"ap:t{self.hardware_type:02X}"
        yield from self.mode_env

    def set_config(self, on: bool) -> None:
        """Record the configuration state and send a uevent."""
        self.config = on
        self.uevent("change", (("CONFIG", f"{on:d}"),))
