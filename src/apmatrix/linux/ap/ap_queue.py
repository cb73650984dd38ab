"""Queue devices: ``/sys/devices/ap/cardAA/AA.DDDD`` (host.md 2.2)."""

from __future__ import annotations

import errno
from collections import deque
from typing import TYPE_CHECKING, ClassVar

from apmatrix.arch import ResponseCode
from apmatrix.linux.ap import states
from apmatrix.linux.ap.driver import is_default
from apmatrix.linux.ap.states import DeviceState, State
from apmatrix.linux.core import AttributeGroup, Device, Written
from apmatrix.rules.refusals import BadValue, Failed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.arch import Apqn
    from apmatrix.cards import Timer
    from apmatrix.linux.ap.bus import ApBus
    from apmatrix.linux.ap.card import ApCard
    from apmatrix.linux.ap.message import ApMessage
    from apmatrix.linux.core.attributes import AnyGroup
    from apmatrix.machine import Port

QUEUE: AttributeGroup[ApQueue] = AttributeGroup()

LONGEST_OVERRIDE = 4095


@QUEUE.show()
def request_count(queue: ApQueue) -> str:
    """The number of requests since the counter was last cleared."""
    return f"{queue.total}\n" if queue.device_state > DeviceState.UNINITIATED else "-\n"


@QUEUE.store("request_count")
def clear_request_count(queue: ApQueue, _value: Written) -> None:
    """Clear the counter, whatever is written."""
    queue.total = 0


@QUEUE.show()
def requestq_count(queue: ApQueue) -> str:
    """The number of requests that wait for the card."""
    return f"{len(queue.requests)}\n"


@QUEUE.show()
def pendingq_count(queue: ApQueue) -> str:
    """The number of requests that the card has."""
    return f"{len(queue.pending)}\n"


@QUEUE.show()
def reset(queue: ApQueue) -> str:
    """The state of the reset timer."""
    if queue.state in (State.RESET_START, State.RESET_WAIT):
        return "Reset in progress.\n"
    if queue.state in (State.WORKING, State.QUEUE_FULL):
        return "Reset Timer armed.\n"
    return "No Reset Timer set.\n"


@QUEUE.store("reset")
def request_reset(queue: ApQueue, _value: Written) -> None:
    """Flush the requests and restart the queue; no instruction is issued unless it is operating (BUS-77)."""
    queue.flush(errno.EAGAIN)
    queue.state = State.RESET_START
    queue.step()


@QUEUE.show()
def interrupt(queue: ApQueue) -> str:
    """Whether interrupts are enabled, from a live TAPQ."""
    if queue.state is State.SETIRQ_WAIT:
        return "Enable Interrupt pending.\n"
    status, _ = queue.port.tapq()
    return "Interrupts enabled.\n" if status.interrupts_enabled else "Interrupts disabled.\n"


@QUEUE.show()
def config(queue: ApQueue) -> str:
    """1 if the adapter was configured at the last scan."""
    return f"{queue.config:d}\n"


@QUEUE.show()
def chkstop(queue: ApQueue) -> str:
    """1 if the adapter was checkstopped at the last scan."""
    return f"{queue.chkstop:d}\n"


@QUEUE.show()
def ap_functions(queue: ApQueue) -> str:
    """The facility bits, from a live TAPQ; EIO if that gives no information."""
    status, info = queue.port.tapq()
    if status.response_code > ResponseCode.BUSY:
        raise Failed(f"TAPQ of {queue.apqn} ended with response code {status.response_code:02x}", number=errno.EIO)
    if status.response_code == ResponseCode.NOT_AVAILABLE:
        return "0x00000000\n"
    return f"0x{info.functions.value:08X}\n"


@QUEUE.show()
def driver_override(queue: ApQueue) -> str:
    """The name that the queue's driver must have."""
    with queue.bus.attribute_mutex:
        return f"{queue.override or ''}\n"


@QUEUE.store("driver_override")
def set_driver_override(queue: ApQueue, value: Written) -> None:
    """Name the queue's only driver, or none; refused while masks are in use, and nothing is rebound (BUS-60)."""
    bus = queue.bus
    with bus.attribute_mutex.taken(value.task):
        if bus.masks_in_use:
            raise BadValue(
                f"{queue.apqn} cannot have a driver_override while apmask or aqmask are in use",
                apqns=(queue.apqn,),
                remedy="set both masks to all ones first",
            )
        if len(value.raw) >= LONGEST_OVERRIDE:
            raise BadValue(f"a driver_override of {len(value.raw)} bytes is too long")
        name = value.line
        bus.policy.check_override(queue, name or None)
        bus.override_count += bool(name) - bool(queue.override)
        queue.override = name or None


class ApQueue(Device):
    """A queue of an adapter in one of the system's usage domains.

    ``online`` and ``load`` belong to the host driver. ``total`` counts requests.
    ``requests`` wait to be sent, ``pending`` are in the card, by message ID. ``receives`` is True once a driver
    that sends requests has had it; ``buffer`` receives the replies, and keeps what later ones do not overwrite.
    """

    __slots__ = (
        "apqn",
        "buffer",
        "card",
        "chkstop",
        "config",
        "device_state",
        "last_error",
        "load",
        "online",
        "outstanding",
        "pending",
        "receives",
        "requests",
        "state",
        "timeout",
        "total",
    )

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (*Device.GROUPS, QUEUE)
    KIND = "ap_queue"

    _NOTHING: ClassVar[deque[ApMessage]] = deque(maxlen=0)
    _NONE_SENT: ClassVar[dict[int, ApMessage]] = {}

    bus: ApBus

    def __init__(self, bus: ApBus, card: ApCard, apqn: Apqn) -> None:
        super().__init__(bus, card.path, str(apqn))
        self.card = card
        self.apqn = apqn
        self.config = True
        self.chkstop = False
        self.device_state = DeviceState.UNINITIATED
        self.state = State.RESET_START
        self.last_error: ResponseCode | None = None
        self.receives = False
        self.buffer = b""
        self.online = True
        self.load = 0
        self.total = 0
        self.outstanding = 0
        self.requests: deque[ApMessage] = self._NOTHING
        self.pending = self._NONE_SENT
        self.timeout: Timer | None = None

    @property
    def port(self) -> Port:
        """The AP functions of the system's level on the queue; kept by no queue, as there may be 65,536 of them."""
        return self.bus.port(self.apqn)

    @property
    def usable_by_card(self) -> bool:
        """True if the card can work for the queue, as far as the last scan saw."""
        return self.config and not self.chkstop

    @property
    def usable(self) -> bool:
        """True if requests can be sent through this queue now."""
        return self.usable_by_card and self.device_state is DeviceState.OPERATING

    def own_env(self) -> Iterable[tuple[str, str]]:
        """The mode of the card, as a uevent variable."""
        return self.card.mode_env

    @property
    def has_host_driver(self) -> bool:
        """True while one of the host's own drivers has the queue."""
        return is_default(self.driver)

    # requests

    def send(self, message: ApMessage) -> None:
        """Send a request; it ends at once with ENODEV if the queue is not operating."""
        operating = self.device_state is DeviceState.OPERATING
        if operating:
            if self.requests is self._NOTHING:
                self.requests, self.pending = deque(), {}
            self.requests.append(message)
            self.total += 1
            self.card.total += 1
        self.bus.poller.run(self)
        if not operating:
            message.finish(-errno.ENODEV)

    def cancel(self, message: ApMessage) -> None:
        """Forget a request: its reply will be ignored."""
        if message in self.requests:
            self.requests.remove(message)
        self.pending.pop(message.message_id, None)

    def receive(self, message_id: int, reply: bytes | None) -> None:
        """Take a reply, None for one that was too long. A reply with an unknown ID is ignored."""
        message = self.pending.pop(message_id, None)
        if reply is None:
            if message is not None:
                message.finish(-errno.EMSGSIZE)
            return
        behind = self.buffer[len(reply) :]
        self.buffer = reply + behind
        if message is not None:
            message.finish(0, reply, behind)

    def requeue_pending(self) -> None:
        """Send the requests that the card has lost again, if there are any."""
        if not self.outstanding:
            return
        for message in reversed(tuple(self.pending.values())):
            self.requests.appendleft(message)
        self.pending.clear()
        self.outstanding = 0

    def flush(self, number: int) -> None:
        """End all requests with an errno."""
        messages = (*self.pending.values(), *self.requests)
        self.pending.clear()
        self.requests.clear()
        self.outstanding = 0
        for message in messages:
            message.scan = self.bus.scanner.running
            message.finish(-number)

    # use

    def set_online(self, on: bool) -> None:
        """Set the queue online or offline; offline ends its requests with EAGAIN (DEV-12)."""
        self.online = on
        self._announce_online()
        if not on:
            self.flush(errno.EAGAIN)

    def retire(self) -> None:
        """Take no new requests, because of what the card answered; those in flight go on (hardware.md 3.7)."""
        self.online = False
        self._announce_online()

    def _announce_online(self) -> None:
        self.uevent("change", (("ONLINE", f"{self.online:d}"),))

    # life

    def step(self) -> None:
        """Run the state machine once; it goes on at the next poll."""
        self.bus.poller.step(self)

    def start(self) -> None:
        """Put the queue into operation, beginning with a reset."""
        self.device_state = DeviceState.OPERATING
        self.state = State.RESET_START
        self.last_error = None
        self.step()

    def shut_down(self) -> None:
        """Stop using the queue before its driver goes (BUS-44)."""
        self.flush(errno.EAGAIN)
        self.device_state = DeviceState.SHUTDOWN
        self.disarm_timeout()
        self.bus.poller.forget(self)

    def halt(self) -> None:
        """End all requests with ENODEV and take no more: the system shuts down, neither reply nor scan will come."""
        if self.device_state > DeviceState.UNINITIATED:
            self.device_state = DeviceState.SHUTDOWN
            self.disarm_timeout()
            self.flush(errno.ENODEV)

    def hand_back(self) -> None:
        """Zeroize the queue after its driver is gone (BUS-44); it was polled until then, if it had requests."""
        if self.state in (states.State.WORKING, states.State.QUEUE_FULL):
            self.step()
            self.bus.poller.forget(self)
        self.port.zapq()
        self.device_state = DeviceState.UNINITIATED

    def lose(self, code: ResponseCode) -> None:
        """Stop using the queue until its adapter is back (BUS-76)."""
        if self.device_state > DeviceState.UNINITIATED:
            self.device_state = DeviceState.ERROR
            self.last_error = code
        self.flush(errno.EAGAIN)

    def recover(self) -> None:
        """End the requests of a queue in the error state, and put it into operation again (BUS-76)."""
        self.flush(errno.EAGAIN)
        self.start()

    def regain(self) -> None:
        """Use the queue again: its adapter is back (BUS-76)."""
        if self.device_state > DeviceState.UNINITIATED:
            self.start()

    def enable_interrupts(self) -> bool:
        """Request interruptions, if the system uses them; True if the request was accepted."""
        interrupts = self.bus.interrupts
        return interrupts is not None and interrupts.enable(self)

    def arm_timeout(self) -> None:
        """Start the timer that resets the queue if no reply comes in time."""
        self.disarm_timeout()
        self.timeout = self.bus.machine.clock.call_later(states.REQUEST_TIMEOUT, self._timed_out)

    def disarm_timeout(self) -> None:
        """Stop the timer: no request is outstanding."""
        if self.timeout is not None:
            self.timeout.cancel()
            self.timeout = None

    def _timed_out(self) -> None:
        with self.bus.kernel:
            if not self.bus.stopped:
                self.bus.poller.time_out(self)
