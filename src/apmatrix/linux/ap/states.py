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
    from apmatrix.linux.ap.ap_queue import ApQueue

LOW_TIMEOUT = 0.04
"""Seconds until Linux polls a queue in reset again."""

REQUEST_TIMEOUT = 900.0
"""Seconds after which a request without an answer makes Linux reset the queue."""

LONGEST_RUN = 1000
"""How often a queue's machine runs without waiting."""


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
    """Run the queue's present state once. It goes on in the error state, which only keeps new requests out."""
    if not queue.config or queue.chkstop or queue.device_state is DeviceState.UNINITIATED:
        return Wait.NONE
    return _STATES[queue.state](queue)


def run(queue: ApQueue) -> Wait:
    """Run until there is something to wait for.

    A card that takes requests and loses them all keeps a real kernel here for ever; this one looks again later.
    """
    for _ in range(LONGEST_RUN):
        wait = step(queue)
        if wait is not Wait.AGAIN:
            return wait
    return Wait.HIGH


def time_out(queue: ApQueue) -> Wait:
    """Reset a queue whose requests have waited too long; does nothing where none is with the card."""
    if queue.state in (State.WORKING, State.QUEUE_FULL) and queue.usable_by_card:
        return _reset(queue)
    return Wait.NONE


def needs_polling(queue: ApQueue) -> bool:
    """True if running the machine could change something."""
    return queue.state is not State.IDLE or bool(queue.requests)


def _fail(queue: ApQueue, code: ResponseCode) -> Wait:
    """Put the queue into the error state until the next scan, which ends its requests."""
    queue.device_state = DeviceState.ERROR
    queue.last_error = code
    return Wait.NONE


def _reply_wait(status: QueueStatus) -> Wait:
    """How to learn of the next reply: one that is queued behind others raises no interruption, so poll."""
    return Wait.INTERRUPT if status.interrupts_enabled and not status.replies_waiting else Wait.HIGH


def _ready(queue: ApQueue) -> None:
    queue.state = State.WORKING if queue.outstanding else State.IDLE


def _reset(queue: ApQueue) -> Wait:
    status = queue.port.rapq()
    if status.async_error:
        return Wait.NONE
    if status.response_code not in (ResponseCode.NORMAL, ResponseCode.RESET_IN_PROGRESS):
        return _fail(queue, status.response_code)
    queue.state = State.RESET_WAIT
    return Wait.LOW


def _reset_wait(queue: ApQueue) -> Wait:
    code = queue.port.tapq()[0].response_code
    if code == ResponseCode.NORMAL:
        if queue.enable_interrupts():
            queue.state = State.SETIRQ_WAIT
        else:
            _ready(queue)
        return Wait.AGAIN
    if code in (ResponseCode.BUSY, ResponseCode.RESET_IN_PROGRESS):
        return Wait.LOW
    return _fail(queue, code)


def _setirq_wait(queue: ApQueue) -> Wait:
    status = _receive(queue) if queue.outstanding and queue.receives else queue.port.tapq()[0]
    if status.interrupts_enabled:
        _ready(queue)
    if status.response_code == ResponseCode.NORMAL and queue.outstanding:
        return Wait.AGAIN
    if status.response_code in (ResponseCode.NORMAL, ResponseCode.NO_PENDING_REPLY):
        return Wait.LOW
    return _fail(queue, status.response_code)


def _write(queue: ApQueue) -> Wait:
    if not queue.requests:
        return Wait.NONE
    request = queue.requests[0]
    status = queue.port.nqap(request.message_id, request.message, special=request.special)
    if status.async_error:
        return Wait.NONE
    code = status.response_code
    if code in (ResponseCode.NORMAL, ResponseCode.QUEUE_FULL):
        return _sent(queue, status)
    if code == ResponseCode.RESET_IN_PROGRESS:
        queue.state = State.RESET_WAIT
        return Wait.LOW
    if code in (ResponseCode.MESSAGE_TOO_BIG, ResponseCode.FACILITY_NOT_INSTALLED, ResponseCode.INVALID_DOMAIN):
        queue.requests.popleft()
        request.finish(-errno.EINVAL)
        return Wait.AGAIN
    return _fail(queue, code)


def _sent(queue: ApQueue, status: QueueStatus) -> Wait:
    """The card has taken the request, or is full."""
    if status.ok:
        request = queue.requests.popleft()
        queue.pending[request.message_id] = request
        queue.outstanding += 1
        if queue.outstanding == 1:
            queue.arm_timeout()
        if queue.outstanding < queue.card.depth:
            queue.state = State.WORKING
            return Wait.AGAIN
    queue.state = State.QUEUE_FULL
    return _reply_wait(status)


def _read(queue: ApQueue) -> Wait:
    if not queue.receives:
        return Wait.NONE
    status = _receive(queue)
    if status.async_error:
        return Wait.NONE
    if status.response_code == ResponseCode.NORMAL and queue.outstanding:
        queue.state = State.WORKING
        return Wait.AGAIN
    if status.response_code == ResponseCode.NO_PENDING_REPLY and queue.outstanding:
        return _reply_wait(status)
    if status.response_code not in (ResponseCode.NORMAL, ResponseCode.NO_PENDING_REPLY):
        return _fail(queue, status.response_code)
    return _nothing_outstanding(queue, status)


def _nothing_outstanding(queue: ApQueue, status: QueueStatus) -> Wait:
    queue.state = State.IDLE
    queue.disarm_timeout()
    if status.empty and not status.interrupts_enabled and queue.enable_interrupts():
        queue.state = State.SETIRQ_WAIT
        return Wait.AGAIN
    return Wait.NONE


def _receive(queue: ApQueue) -> QueueStatus:
    """Take a reply, if there is one; one that is longer than the longest message is fetched in parts, and ends its
    request with EMSGSIZE. If the card has nothing of what it was given, that is sent again.
    """
    delivery = queue.port.dqap(queue.card.max_message_size)
    whole = delivery.status is not None
    while delivery.status is None:
        delivery = queue.port.dqap(queue.card.max_message_size, delivery.position)
    status = delivery.status
    if status.response_code == ResponseCode.NORMAL:
        # A flush forgets what the card still has, so a queue that is not empty has at least one.
        queue.outstanding = max(0 if status.empty else 1, queue.outstanding - 1)
        if queue.outstanding:
            queue.arm_timeout()
        queue.receive(delivery.message_id, delivery.data if whole else None)
    if status.response_code in (ResponseCode.NORMAL, ResponseCode.NO_PENDING_REPLY) and status.empty:
        queue.requeue_pending()
    return status


def _read_write(queue: ApQueue) -> Wait:
    reading = _read(queue)
    return min(reading, _write(queue))


_STATES = {
    State.RESET_START: _reset,
    State.RESET_WAIT: _reset_wait,
    State.SETIRQ_WAIT: _setirq_wait,
    State.IDLE: _write,
    State.WORKING: _read_write,
    State.QUEUE_FULL: _read,
}
