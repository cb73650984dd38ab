"""The state machine of a queue device: reset, interrupts, sending and receiving (hardware.md 1.7).

Each function runs one state: it executes an AP instruction, moves the queue to the state that the answer asks
for, and returns when to look again.
"""

from __future__ import annotations

import errno
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

from apmatrix.arch import ResponseCode

if TYPE_CHECKING:
    from apmatrix.arch import QueueStatus
    from apmatrix.cards import Delivery
    from apmatrix.linux.ap.ap_queue import ApQueue

LOW_TIMEOUT = 0.04
"""Seconds until Linux polls a queue in reset again."""

REQUEST_TIMEOUT = 900.0
"""Seconds after which a request without an answer makes Linux reset the queue."""


class DeviceState(IntEnum):
    """The stages of a queue device's life, in order."""

    UNINITIATED = 0
    OPERATING = 1
    SHUTDOWN = 2
    ERROR = 3


class State(Enum):
    """States of a queue's state machine."""

    RESET_START = "reset start"
    RESET_WAIT = "reset wait"
    SETIRQ_WAIT = "interrupt wait"
    IDLE = "idle"
    WORKING = "working"
    QUEUE_FULL = "full"


class Wait(IntEnum):
    """When to run the machine again."""

    AGAIN = 0
    HIGH = 1  # after the bus's poll timeout
    LOW = 2
    INTERRUPT = 3
    NONE = 4


def step(queue: ApQueue) -> Wait:
    """Run the queue's present state once."""
    if queue.device_state is not DeviceState.OPERATING:
        return Wait.NONE
    return _STATES[queue.state](queue)


def run(queue: ApQueue) -> Wait:
    """Run until there is something to wait for."""
    wait = step(queue)
    while wait is Wait.AGAIN:
        wait = step(queue)
    return wait


def fail(queue: ApQueue, code: ResponseCode) -> Wait:
    """Put the queue into the error state until the next scan."""
    queue.device_state = DeviceState.ERROR
    queue.last_error = code
    queue.flush(errno.EAGAIN)
    return Wait.NONE


def _reply_wait(status: QueueStatus) -> Wait:
    """How to learn of the next reply: one that is queued behind others raises no interruption, so poll."""
    return Wait.INTERRUPT if status.interrupts_enabled and not status.replies_waiting else Wait.HIGH


def _ready(queue: ApQueue) -> Wait:
    queue.state = State.WORKING if queue.outstanding else State.IDLE
    return Wait.AGAIN


def _reset(queue: ApQueue) -> Wait:
    code = queue.port.rapq().response_code
    if code not in (ResponseCode.NORMAL, ResponseCode.RESET_IN_PROGRESS):
        return fail(queue, code)
    queue.state = State.RESET_WAIT
    queue.interrupts = False
    queue.requeue_pending()
    return Wait.LOW


def _reset_wait(queue: ApQueue) -> Wait:
    status, _ = queue.port.tapq()
    if status.ok:
        if queue.enable_interrupts():
            queue.state = State.SETIRQ_WAIT
            return Wait.AGAIN
        return _ready(queue)
    if status.response_code in (ResponseCode.BUSY, ResponseCode.RESET_IN_PROGRESS):
        return Wait.LOW
    return fail(queue, status.response_code)


def _setirq_wait(queue: ApQueue) -> Wait:
    status, _ = queue.port.tapq()
    if not status.ok:
        return fail(queue, status.response_code)
    if not status.interrupts_enabled:
        return Wait.LOW
    queue.interrupts = True
    return _ready(queue)


def _write(queue: ApQueue) -> Wait:
    if not queue.requests:
        return Wait.NONE
    request = queue.requests[0]
    status = queue.port.nqap(request.message_id, request.message, special=request.special)
    code = status.response_code
    if code == ResponseCode.NORMAL:
        queue.requests.popleft()
        queue.pending[request.message_id] = request
        queue.outstanding += 1
        queue.arm_timeout()
        full = queue.outstanding >= queue.card.depth
        queue.state = State.QUEUE_FULL if full else State.WORKING
        more = status.replies_waiting or (queue.requests and not full)
        return Wait.AGAIN if more else _reply_wait(status)
    if code == ResponseCode.QUEUE_FULL:
        queue.state = State.QUEUE_FULL
        return _reply_wait(status)
    if code == ResponseCode.RESET_IN_PROGRESS:
        queue.state = State.RESET_WAIT
        return Wait.LOW
    if code in (ResponseCode.MESSAGE_TOO_BIG, ResponseCode.FACILITY_NOT_INSTALLED, ResponseCode.INVALID_DOMAIN):
        queue.requests.popleft()
        request.finish(-errno.EINVAL)
        return Wait.AGAIN
    return fail(queue, code)


def _read(queue: ApQueue) -> Wait:
    delivery = queue.port.dqap(queue.card.max_message_size)
    if delivery.status is None:
        return _truncated(queue, delivery)
    code = delivery.status.response_code
    if queue.interrupts and delivery.status.empty and not delivery.status.interrupts_enabled:
        queue.interrupts = queue.enable_interrupts()  # they were switched off meanwhile
    if code == ResponseCode.NORMAL:
        _count_reply(queue, delivery.status)
        queue.receive(delivery.message_id, delivery.data)
        if delivery.status.empty and queue.outstanding:
            queue.requeue_pending()
        queue.state = State.WORKING if queue.outstanding else State.IDLE
        return Wait.AGAIN
    if code == ResponseCode.NO_PENDING_REPLY:
        if delivery.status.empty:
            queue.requeue_pending()
        if queue.outstanding:
            return _reply_wait(delivery.status)
        queue.state = State.IDLE
        return Wait.AGAIN
    return fail(queue, code)


def _count_reply(queue: ApQueue, status: QueueStatus) -> None:
    """Count one reply. A flush forgets what the card still has, so a queue that is not empty has at least one."""
    queue.outstanding = max(0 if status.empty else 1, queue.outstanding - 1)


def _truncated(queue: ApQueue, delivery: Delivery) -> Wait:
    """The reply is longer than the longest message: fetch it all, and end the request with EMSGSIZE."""
    while delivery.status is None:
        delivery = queue.port.dqap(queue.card.max_message_size, delivery.position)
    _count_reply(queue, delivery.status)
    queue.receive(delivery.message_id, None)
    queue.state = State.WORKING if queue.outstanding else State.IDLE
    return Wait.AGAIN


def _read_write(queue: ApQueue) -> Wait:
    reading = _read(queue)
    if queue.device_state is not DeviceState.OPERATING:
        return Wait.NONE
    if reading is Wait.AGAIN or not queue.requests:
        return reading
    return min(reading, _write(queue))


_STATES = {
    State.RESET_START: _reset,
    State.RESET_WAIT: _reset_wait,
    State.SETIRQ_WAIT: _setirq_wait,
    State.IDLE: _write,
    State.WORKING: _read_write,
    State.QUEUE_FULL: _read,
}
