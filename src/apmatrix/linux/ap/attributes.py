"""The attributes of ``/sys/bus/ap`` (BUS-10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.linux.core import AttributeGroup, Written
from apmatrix.rules.refusals import BadValue
from apmatrix.rules.text import boolean, scanned_number, strict_number

if TYPE_CHECKING:
    from apmatrix.arch import Mask
    from apmatrix.linux.ap.bus import ApBus
    from apmatrix.linux.core import Task

AP_BUS: AttributeGroup[ApBus] = AttributeGroup()

LONGEST_POLL_TIMEOUT = 120_000_000_000
SHORTEST_CONFIG_TIME, LONGEST_CONFIG_TIME = 5, 120


@AP_BUS.show()
def ap_domain(bus: ApBus) -> str:
    """The default domain, -1 if there is none yet."""
    return f"{bus.default_domain}\n"


@AP_BUS.store("ap_domain")
def set_ap_domain(bus: ApBus, value: Written) -> None:
    """Choose the default domain; it is not checked against the host configuration."""
    domain = scanned_number(value.text, any_base=True)
    if not 0 <= domain <= bus.max_domain or domain not in bus.aqmask:
        raise BadValue(
            f"{domain} cannot be the default domain", remedy=f"choose one of aqmask from 0 to {bus.max_domain}"
        )
    bus.default_domain = domain


@AP_BUS.show()
def ap_max_domain_id(bus: ApBus) -> str:
    """The highest domain number."""
    return f"{bus.max_domain}\n"


@AP_BUS.show()
def ap_max_adapter_id(bus: ApBus) -> str:
    """The highest adapter number."""
    return f"{bus.max_adapter}\n"


def _qci_mask(bus: ApBus, mask: Mask) -> str:
    return f"{mask}\n" if bus.info.flags else "not supported\n"


@AP_BUS.show()
def ap_control_domain_mask(bus: ApBus) -> str:
    """The control domains found at the last scan."""
    return _qci_mask(bus, bus.info.adm)


@AP_BUS.show()
def ap_usage_domain_mask(bus: ApBus) -> str:
    """The usage domains found at the last scan."""
    return _qci_mask(bus, bus.info.aqm)


@AP_BUS.show()
def ap_adapter_mask(bus: ApBus) -> str:
    """The adapters found at the last scan."""
    return _qci_mask(bus, bus.info.apm)


@AP_BUS.show_to()
def apmask(bus: ApBus, task: Task) -> str:
    """The adapters of the host's own drivers."""
    with bus.attribute_mutex.taken(task):
        return f"{bus.apmask}\n"


@AP_BUS.store("apmask")
def set_apmask(bus: ApBus, value: Written) -> None:
    """Give adapters to the host's own drivers, or take them away (BUS-33)."""
    bus.write_masks({"apmask": value.text}, value.task)


@AP_BUS.show_to()
def aqmask(bus: ApBus, task: Task) -> str:
    """The domains of the host's own drivers."""
    with bus.attribute_mutex.taken(task):
        return f"{bus.aqmask}\n"


@AP_BUS.store("aqmask")
def set_aqmask(bus: ApBus, value: Written) -> None:
    """Give domains to the host's own drivers, or take them away (BUS-33)."""
    bus.write_masks({"aqmask": value.text}, value.task)


def _explains(bus: ApBus) -> bool:
    return bus.policy.explains


@AP_BUS.show_to("masks", when=_explains)
def both_masks(bus: ApBus, task: Task) -> str:
    """Both masks, in the form in which they can be written together. Only with the policy ``protective``."""
    with bus.attribute_mutex.taken(task):
        return f"apmask={bus.apmask} aqmask={bus.aqmask}\n"


@AP_BUS.store("masks")
def set_both_masks(bus: ApBus, value: Written) -> None:
    """Write both masks, such as ``apmask=-5,-6 aqmask=-4``, in one step or not at all."""
    texts = {}
    for word in value.text.split():
        name, equals, text = word.partition("=")
        if name not in ("apmask", "aqmask") or not equals or name in texts:
            raise BadValue(f"{word!r} is neither apmask=… nor aqmask=…", remedy="write apmask=-5,-6 aqmask=-4")
        texts[name] = text
    bus.write_masks(texts, value.task)


@AP_BUS.show()
def config_time(bus: ApBus) -> str:
    """Seconds between two scans."""
    return f"{bus.config_time}\n"


@AP_BUS.store("config_time")
def set_config_time(bus: ApBus, value: Written) -> None:
    """Set the seconds between two scans, from 5 to 120; the timer is restarted."""
    seconds = scanned_number(value.text)
    if not SHORTEST_CONFIG_TIME <= seconds <= LONGEST_CONFIG_TIME:
        raise BadValue(
            f"config_time {seconds} is out of range",
            remedy=f"write {SHORTEST_CONFIG_TIME} to {LONGEST_CONFIG_TIME} seconds",
        )
    bus.config_time = seconds
    bus.scanner.arm()


@AP_BUS.show()
def poll_thread(bus: ApBus) -> str:
    """1 if the poll thread is running."""
    return f"{bus.poll_thread:d}\n"


@AP_BUS.store("poll_thread")
def set_poll_thread(bus: ApBus, value: Written) -> None:
    """Start or stop the poll thread; starting it while interrupts are in use has no effect."""
    bus.poll_thread = boolean(value.text) and bus.interrupts is None


@AP_BUS.show()
def poll_timeout(bus: ApBus) -> str:
    """Nanoseconds between two polls."""
    return f"{bus.poll_timeout}\n"


@AP_BUS.store("poll_timeout")
def set_poll_timeout(bus: ApBus, value: Written) -> None:
    """Set the nanoseconds between two polls, up to two minutes."""
    timeout = strict_number(value.text)
    if timeout > LONGEST_POLL_TIMEOUT:
        raise BadValue(f"poll_timeout {timeout} is too long", remedy=f"write at most {LONGEST_POLL_TIMEOUT}")
    bus.poll_timeout = timeout
    bus.poller.reschedule()


@AP_BUS.show()
def ap_interrupts(bus: ApBus) -> str:
    """1 if adapter interrupts are in use."""
    return f"{bus.interrupts is not None:d}\n"


@AP_BUS.show()
def bindings(bus: ApBus) -> str:
    """How many queues have a driver."""
    complete = " (complete)" if bus.completion.complete else ""
    return f"{bus.completion.bound}/{len(bus.queues)}{complete}\n"


@AP_BUS.show()
def bindings_complete_count(bus: ApBus) -> str:
    """How often the bindings became complete."""
    return f"{bus.completion.count}\n"


@AP_BUS.show()
def scans(bus: ApBus) -> str:
    """How many scans have been completed."""
    return f"{bus.scanner.count}\n"


@AP_BUS.store("scans")
def request_scan(bus: ApBus, _value: Written) -> None:
    """Scan now; does nothing before the first scan is completed."""
    if bus.scanner.count:
        bus.scanner.scan()


@AP_BUS.show()
def features(bus: ApBus) -> str:
    """The names of the QCI features that the machine has."""
    if not bus.info.flags:
        return "-\n"
    names = bus.info.feature_names()
    return " ".join(names) + "\n" if names else ""
