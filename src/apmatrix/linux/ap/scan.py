"""The bus scan: read the current configuration and make the devices match it (host.md 1.7)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from apmatrix.arch import Apqn, CardFunctions, QueueInfo, QueueStatus, ResponseCode
from apmatrix.linux.ap.ap_queue import ApQueue
from apmatrix.linux.ap.card import ApCard
from apmatrix.linux.ap.states import DeviceState
from apmatrix.linux.core import ChangeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.cards import Timer
    from apmatrix.linux.ap.bus import ApBus
    from apmatrix.machine import Port

_INFORMATIVE = frozenset(
    (
        ResponseCode.NORMAL,
        ResponseCode.RESET_IN_PROGRESS,
        ResponseCode.DECONFIGURED,
        ResponseCode.CHECKSTOPPED,
        ResponseCode.BUSY,
    )
)
OLDEST_TYPE, NEWEST_TYPE = 10, 14


def informative(status: QueueStatus) -> bool:
    """True if TAPQ shows that there is a queue (BUS-75)."""
    return status.response_code in _INFORMATIVE or status.async_error


class Scanner:
    """Scans a bus, on request and every ``config_time`` seconds.

    ``count`` is the number of finished scans; ``changed`` is True if the last one found another configuration.
    """

    def __init__(self, bus: ApBus) -> None:
        self._bus = bus
        self.count = 0
        self.changed = False
        self._thread: int | None = None
        self._timer: Timer | None = None

    # when

    @property
    def running(self) -> int | None:
        """The number of the scan that the calling thread is running, or None."""
        return self.count + 1 if self._thread == threading.get_ident() else None

    def scan(self, joined: int | None = None) -> bool:
        """Scan now; True if the configuration has changed.

        A second requester takes the result of the running scan (BUS-70). So does one that the scan ``joined`` has
        woken, as it asks while that is running. A system that has been shut down scans no more.
        """
        me = threading.get_ident()
        if self._thread == me or self._bus.stopped:
            return False
        if joined is not None and self.count >= joined:
            return self.changed
        if self._thread is not None:
            running = self.count
            self._bus.kernel.wait_until(lambda: self.count != running or self._thread is None)
            return self.changed
        self._thread = me
        try:
            self._scan()
        finally:
            self._thread = None
            self._bus.kernel.wake()
        return self.changed

    def arm(self) -> None:
        """Schedule the next scan for ``config_time`` seconds from now."""
        if self._timer is not None:
            self._timer.cancel()
        clock = self._bus.machine.clock
        self._timer = clock.call_later(self._bus.config_time, lambda: clock.spawn(self._periodic))

    def request(self) -> None:
        """Scan soon, but not before the first scan: the machine reported a configuration change (BUS-70)."""
        if self.count:
            self._bus.machine.clock.spawn(self._periodic)

    def _periodic(self) -> None:
        with self._bus.kernel:
            if not self._bus.stopped:
                self.scan()

    def stop(self) -> None:
        """End the periodic scans."""
        if self._timer is not None:
            self._timer.cancel()

    # what (BUS-71)

    def _scan(self) -> None:
        bus = self._bus
        old, new = bus.info, bus.fetch_info()
        self.changed = changed = bus.qci_supported and new != old
        bus.info = new
        if new.apm - old.apm or new.aqm - old.aqm:
            bus.completion.arm()
        if changed:
            for driver in bus.ap_drivers():
                driver.on_config_changed(new, old)
        if bus.default_domain < 0:
            bus.default_domain = self._choose_domain()
        for number in range(bus.max_adapter + 1):
            self._scan_adapter(number)
        if changed:
            for driver in bus.ap_drivers():
                driver.on_scan_complete(new, old)
        bus.policy.scanned(bus)
        self.count += 1
        if self.count == 1:
            bus.root.uevent("change", ("INITSCAN", "done"))
        bus.completion.check()
        bus.entry_changed(ChangeKind.NOTIFY, "scans")
        self.arm()

    def _usage_domains(self) -> Iterator[int]:
        bus = self._bus
        if not bus.qci_supported:
            return iter(range(bus.max_domain + 1))
        return (domain for domain in bus.info.aqm if domain <= bus.max_domain)

    def _choose_domain(self) -> int:
        """The first usable domain of the host's, -1 if there is none (BUS-73)."""
        bus = self._bus
        for domain in self._usage_domains():
            if domain in bus.aqmask:
                for adapter in bus.apmask:
                    if adapter <= bus.max_adapter and bus.port(Apqn(adapter, domain)).tapq()[0].ok:
                        return domain
        return -1

    def _scan_adapter(self, number: int) -> None:
        """Update a card from the first of its queues that answers (BUS-74)."""
        bus = self._bus
        card = bus.cards.get(number)
        if bus.qci_supported and number not in bus.info.apm:
            if card:
                self.remove_card(card)
            return
        found = self._probe_adapter(number)
        if found is None or found[1].hardware_type == 0:
            if card:
                self.remove_card(card)
            return
        port, info, status = found
        if card and self._differs(card.info, info):
            self.remove_card(card)
            card = None
        config = status.response_code != ResponseCode.DECONFIGURED
        chkstop = status.response_code == ResponseCode.CHECKSTOPPED
        if card:
            card.chkstop = chkstop
            if card.config != config:
                card.set_config(config)
        else:
            hardware_type = self._compatible_type(port, info)
            if hardware_type is None:
                return
            card = self._new_card(number, hardware_type, info, config=config, chkstop=chkstop)
        self._scan_domains(card)

    def _probe_adapter(self, number: int) -> tuple[Port, QueueInfo, QueueStatus] | None:
        for domain in self._usage_domains():
            port = self._bus.port(Apqn(number, domain))
            status, info = port.tapq()
            if informative(status) and info.value:
                return port, info, status
        return None

    @staticmethod
    def _differs(old: QueueInfo, new: QueueInfo) -> bool:
        return old.hardware_type != new.hardware_type or _facilities(old) != _facilities(new)

    def _compatible_type(self, port: Port, info: QueueInfo) -> int | None:
        """The type to drive a card as: none for old ones, QACT's answer for unknown newer ones."""
        raw = info.hardware_type
        if OLDEST_TYPE <= raw <= NEWEST_TYPE:
            return raw
        if raw < OLDEST_TYPE or not self._bus.info.qact:
            return None
        status, found = port.qact(info.functions, NEWEST_TYPE)
        return found if status.ok and OLDEST_TYPE <= found <= NEWEST_TYPE else None

    def _new_card(self, number: int, hardware_type: int, info: QueueInfo, *, config: bool, chkstop: bool) -> ApCard:
        bus = self._bus
        card = ApCard(bus, number, hardware_type, info)
        card.config, card.chkstop = config, chkstop
        bus.cards[number] = card
        bus.add_device(card, bus.root)
        return card

    def remove_card(self, card: ApCard) -> None:
        """Remove a card and its queues."""
        for queue in tuple(card.queues.values()):
            self.remove_queue(queue)
        del self._bus.cards[card.number]
        self._bus.remove_device(card, self._bus.root)

    def remove_queue(self, queue: ApQueue) -> None:
        """Remove a queue. Its driver_override goes with it; the bus's count of overrides stays (BUS-63)."""
        bus = self._bus
        del bus.queues[queue.apqn]
        del queue.card.queues[queue.apqn.domain]
        bus.remove_device(queue, queue.card)
        bus.policy.queue_removed(queue)

    def _scan_domains(self, card: ApCard) -> None:
        """Update the card's queue in each domain, in ascending order (BUS-76)."""
        for domain in sorted({*card.queues, *self._usage_domains()}):
            queue = card.queues.get(domain)
            if self._bus.usage_domain(domain):
                self._scan_queue(card, Apqn(card.number, domain), queue)
            elif queue:
                self.remove_queue(queue)

    def _scan_queue(self, card: ApCard, apqn: Apqn, queue: ApQueue | None) -> None:
        port = queue.port if queue else self._bus.port(apqn)
        status, info = port.tapq()
        if not informative(status):
            if queue:
                self.remove_queue(queue)
        elif not info.value:
            return
        elif queue is None:
            self._new_queue(card, port, status)
        else:
            self._update_queue(queue, status)

    def _new_queue(self, card: ApCard, port: Port, status: QueueStatus) -> None:
        bus = self._bus
        queue = ApQueue(bus, card, port.apqn)
        queue.config = status.response_code != ResponseCode.DECONFIGURED
        queue.chkstop = status.response_code == ResponseCode.CHECKSTOPPED
        bus.queues[queue.apqn] = queue
        card.queues[queue.apqn.domain] = queue
        bus.add_device(queue, card)
        if queue.config and not queue.chkstop and bus.policy.resets_new_queue(queue):
            queue.start()

    def _update_queue(self, queue: ApQueue, status: QueueStatus) -> None:
        """Apply the first difference, only one per scan."""
        config = status.response_code != ResponseCode.DECONFIGURED
        chkstop = status.response_code == ResponseCode.CHECKSTOPPED
        if chkstop != queue.chkstop:
            queue.chkstop = chkstop
            if chkstop:
                queue.lose(ResponseCode.CHECKSTOPPED)
            else:
                queue.regain()
        elif config != queue.config:
            queue.config = config
            if config:
                queue.regain()
            else:
                queue.lose(ResponseCode.DECONFIGURED)
            queue.uevent("change", (("CONFIG", f"{config:d}"),))
        elif config and queue.device_state is DeviceState.ERROR:
            queue.recover()


def _facilities(info: QueueInfo) -> CardFunctions:
    """The facility bits without those that may differ between the queues of a card (hardware.md 2.1)."""
    return info.functions.replace(of_the_queue=0)
