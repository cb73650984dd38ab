"""The AP bus: masks, ownership, binding (host.md section 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from apmatrix.arch import Apqn, Configuration, Facility, Mask
from apmatrix.linux.ap.ap_queue import ApQueue
from apmatrix.linux.ap.attributes import AP_BUS
from apmatrix.linux.ap.completion import Completion
from apmatrix.linux.ap.driver import ApBusDriver, is_default
from apmatrix.linux.ap.interrupts import AdapterInterrupts
from apmatrix.linux.ap.poller import Poller
from apmatrix.linux.ap.root import RootDevice
from apmatrix.linux.ap.scan import Scanner
from apmatrix.linux.core import Bus, Device, Driver, Mutex, Task
from apmatrix.rules import limits
from apmatrix.rules.ownership import (
    ALL_RESERVED,
    BindObstacle,
    Masks,
    Ownership,
    bind_obstacle,
    newly_reserved,
    settled,
)
from apmatrix.rules.refusals import BadValue, NoDevice
from apmatrix.rules.text import boot_mask, written_mask

if TYPE_CHECKING:
    from apmatrix.linux.ap.card import ApCard
    from apmatrix.linux.ap.policy import BusPolicy
    from apmatrix.linux.core import Host
    from apmatrix.linux.core.attributes import AnyGroup
    from apmatrix.machine import Port

POLL_TIMEOUT = 250_000
"""Nanoseconds between two polls of a queue that has requests to answer, without interrupts (BUS-5)."""

DEFAULT_CONFIG_TIME = 30


class ApBus(Bus):
    """The AP bus of a Linux system.

    ``info`` is the configuration fetched at the last scan; ``active`` holds the queues that a driver is bound
    to (BUS-46).
    """

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (*Bus.GROUPS, AP_BUS)

    def __init__(self, host: Host, policy: BusPolicy, apmask: str | None, aqmask: str | None, domain: int) -> None:
        super().__init__(host.sysfs, host.uevents, "ap")
        self.kernel = host.kernel
        self.machine = host.machine
        self.level = host.level
        self.log = host.log
        self.policy = policy
        self.attribute_mutex = Mutex(host.kernel, "the AP attribute mutex")
        self.masks = Masks(boot_mask(apmask), boot_mask(aqmask))
        self.masks_in_use = False  # computed when a write changes a mask, not from boot parameters (BUS-62)
        self.override_count = 0
        self.root = RootDevice(self)
        host.sysfs.place("devices", "ap", self.root)
        self.info = Configuration()
        self.qci_supported = False
        self.cards: dict[int, ApCard] = {}
        self.queues: dict[Apqn, ApQueue] = {}
        self.active: dict[Apqn, ApQueue] = {}
        self.default_domain = -1
        self.config_time = DEFAULT_CONFIG_TIME
        self.poll_timeout = POLL_TIMEOUT
        self.poll_thread = False
        self.stopped = False
        self.interrupts: AdapterInterrupts | None = None
        self.poller = Poller(self)
        self.completion = Completion(self)
        self.scanner = Scanner(self)
        self.level.configuration_changed = self.scanner.request
        self._fetch_limits()
        self._prefer(domain)

    def _prefer(self, domain: int) -> None:
        """Apply the boot parameter ``domain``; one that cannot be the default is ignored (BUS-2)."""
        if domain in self.aqmask and domain <= self.max_domain:
            self.default_domain = domain
        elif domain != -1:
            self.log.warning(f"ap: {domain} is not a valid cryptographic domain")

    def _fetch_limits(self) -> None:
        """Find the highest adapter and domain; they are fixed when the bus starts (BUS-4)."""
        self.qci_supported = Facility.QCI in self.level.facilities
        info = self.fetch_info()
        self.max_adapter, self.max_domain = limits.of_bus(info)
        self.qci_supported = bool(info.flags)
        if Facility.AQIC in self.level.facilities:
            self.interrupts = AdapterInterrupts(self)
        self.info = info

    def fetch_info(self) -> Configuration:
        """The level's configuration now; all zero without QCI."""
        return self.machine.qci(self.level) if self.qci_supported else Configuration()

    def port(self, apqn: Apqn) -> Port:
        """The AP functions of the system's level on a queue."""
        return self.machine.port(self.level, apqn)

    def ap_drivers(self) -> list[ApBusDriver]:
        """The registered drivers."""
        return [driver for driver in self.drivers.values() if isinstance(driver, ApBusDriver)]

    def usage_domain(self, domain: int) -> bool:
        """True if the domain may be used; without QCI, every one up to the maximum."""
        return domain <= self.max_domain and (not self.qci_supported or domain in self.info.aqm)

    # ownership

    @property
    def apmask(self) -> Mask:
        """The adapters of the host's own drivers."""
        return self.masks.apmask

    @property
    def aqmask(self) -> Mask:
        """The domains of the host's own drivers."""
        return self.masks.aqmask

    @property
    def ownership(self) -> Ownership:
        """What decides at present which queues are the host's."""
        if not self.override_count:
            return Ownership(self.masks)
        bound = ((queue, queue.driver) for queue in self.active.values() if queue.override)
        return Ownership(self.masks, {queue.apqn: is_default(driver) for queue, driver in bound if driver})

    # binding (BUS-42 to BUS-46)

    def bind(self, driver: Driver[Any], device: Device) -> None:
        """Probe as the bus does: check the ownership first, then call the driver's probe (BUS-42)."""
        if not isinstance(device, ApQueue):
            self.completion.arm()
            super().bind(driver, device)
            return
        self._check_owner(driver, device)
        self.completion.arm()
        self.active[device.apqn] = device
        try:
            super().bind(driver, device)
        except BaseException:
            del self.active[device.apqn]
            raise
        self.completion.bound += 1

    def _check_owner(self, driver: Driver[Any], queue: ApQueue) -> None:
        reserved = self.masks.reserve(queue.apqn)
        obstacle = bind_obstacle(driver.name, default=is_default(driver), override=queue.override, reserved=reserved)
        if obstacle is BindObstacle.OVERRIDE:
            raise NoDevice(f"{queue.name} is reserved for the driver {queue.override}", apqns=(queue.apqn,))
        if obstacle is not None:
            owner = "the host's drivers" if obstacle is BindObstacle.RESERVED else "other drivers"
            raise NoDevice(
                f"apmask and aqmask give {queue.name} to {owner}: {driver.name} cannot have it", apqns=(queue.apqn,)
            )

    def release(self, device: Device) -> None:
        """Detach the driver: end the requests, call the driver's remove, zeroize the queue (BUS-44)."""
        if not isinstance(device, ApQueue) or device.driver is None:
            super().release(device)
            return
        device.shut_down()
        super().release(device)
        device.hand_back()
        del self.active[device.apqn]
        self.completion.bound -= 1

    def add_driver(self, driver: Driver[Any]) -> None:
        """Register a driver, which may complete the bindings (BUS-81)."""
        super().add_driver(driver)
        self.completion.check()

    def unbind_by_hand(self, driver: Driver[Any], name: str) -> None:
        """Unbind unless the policy objects; Linux itself never does (MTX-92)."""
        device = driver.devices.get(name)
        if isinstance(device, ApQueue):
            self.policy.check_unbind(device)
        super().unbind_by_hand(driver, name)

    def revise_bindings(self) -> None:
        """After a mask change, rebind every queue that now belongs to another driver (BUS-40, BUS-41)."""
        for queue in tuple(self.queues.values()):
            if self.queues.get(queue.apqn) is not queue:
                continue
            if not self._settled(queue):
                self.release(queue)
                self.attach(queue)

    def _settled(self, queue: ApQueue) -> bool:
        driver = queue.driver
        return settled(
            driver.name if driver else None,
            default=is_default(driver),
            override=queue.override,
            reserved=self.masks.reserve(queue.apqn),
        )

    # masks

    def write_masks(self, texts: dict[str, str], task: Task) -> None:
        """Write ``apmask``, ``aqmask``, or both in one step or not at all; ``texts`` holds them by name (BUS-33)."""
        with self.attribute_mutex.taken(task):
            self._check_no_override()
            for name, text in texts.items():
                self.policy.check_mask_text(name, text)
            current = self.masks._asdict()
            written = {name: written_mask(text, current[name]) for name, text in texts.items()}
            new = {name: mask for name, mask in written.items() if mask != current[name]}
            if not new:
                return
            self._commit_masks(self.masks._replace(**new))
        self.revise_bindings()
        self.root.uevent("change", *((name.upper(), f"{mask}\n") for name, mask in new.items()))

    def _commit_masks(self, after: Masks) -> None:
        """Check that nothing the host would get is in use, then store the masks."""
        for wanted in newly_reserved(self.masks, after, self.policy.considered):
            for driver in self.ap_drivers():
                driver.in_use(wanted)
        self.masks = after
        self.masks_in_use = after != ALL_RESERVED

    def _check_no_override(self) -> None:
        """Raise BadValue while any queue has a driver_override (BUS-61)."""
        if self.override_count > 0:
            raise BadValue(
                "apmask and aqmask cannot be changed while queues have a driver_override",
                apqns=[queue.apqn for queue in self.queues.values() if queue.override],
                remedy="write an empty line to the driver_override of each",
            )

    # cards

    def configure_adapter(self, number: int, *, on: bool) -> bool:
        """Configure an adapter on or off through SCLP; False in a guest, which has no SCLP for it."""
        return self.machine.configure(self.level, number, on=on)

    def stop(self) -> None:
        """Stop for shutdown: issue no more instructions, and end requests in flight with ENODEV."""
        self.stopped = True
        self.level.configuration_changed = None
        self.scanner.stop()
        for queue in self.queues.values():
            queue.halt()
        self.poller.stop()
        if self.interrupts:
            self.interrupts.stop()
