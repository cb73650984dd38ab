"""Looking at queues again: the bus's poll timer and its interrupts."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from apmatrix.linux.ap import states
from apmatrix.linux.ap.states import Wait

if TYPE_CHECKING:
    from apmatrix.cards import Timer
    from apmatrix.linux.ap.ap_queue import ApQueue
    from apmatrix.linux.ap.bus import ApBus


class Poller:
    """Runs the state machines of the queues.

    One timer serves all that wait: short while replies are awaited without interrupts, 40 ms while queues are in
    reset. What comes up while a machine runs, an interrupt or a request from a callback, waits for its turn.
    """

    def __init__(self, bus: ApBus) -> None:
        self._bus = bus
        self._waiting: dict[ApQueue, Wait] = {}
        self._turn: deque[ApQueue] = deque()
        self._running = False
        self._missed = False
        self._timer: Timer | None = None
        self._due: float | None = None
        self._wait = Wait.NONE

    def run(self, *queues: ApQueue) -> None:
        """Run the machines of ``queues`` now, and later as they wish."""
        self._turn.extend(queues)
        if self._running:
            return
        self._running = True
        try:
            while self._turn:
                queue = self._turn.popleft()
                self._attend(queue, states.run(queue))
                if self._missed and not self._turn:
                    self._missed = False
                    self._turn.extend(self._seen())
        finally:
            self._running = False

    def _attend(self, queue: ApQueue, wait: Wait) -> None:
        """Come back to ``queue`` after ``wait``."""
        if wait is Wait.NONE:
            self._waiting.pop(queue, None)
            return
        self._waiting[queue] = wait
        self._schedule(wait)

    def forget(self, queue: ApQueue) -> None:
        """Do not come back to ``queue``."""
        self._waiting.pop(queue, None)

    def poll(self) -> None:
        """Look at every waiting queue now: a timer ran out, or an interrupt came."""
        if self._running:
            self._missed = True
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._due = None
        self.run(*self._seen())

    def _seen(self) -> list[ApQueue]:
        """The waiting queues that have a driver (BUS-46); of the others nobody sees the end of the first reset."""
        active = self._bus.active
        return [queue for queue in self._waiting if active.get(queue.apqn) is queue]

    def reschedule(self) -> None:
        """The poll timeout changed."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._due = None
        for wait in tuple(self._waiting.values()):
            self._schedule(wait)

    def _schedule(self, wait: Wait) -> None:
        bus = self._bus
        if wait is Wait.INTERRUPT:
            return
        if self._timer is not None and wait >= self._wait:
            return  # it runs out no later than this would
        clock = bus.machine.clock
        due = clock.now() + (states.LOW_TIMEOUT if wait is Wait.LOW else bus.poll_timeout / 1e9)
        if self._due is not None and self._due <= due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._wait = wait
        self._timer = clock.call_later(due - clock.now(), self._expired)

    def _expired(self) -> None:
        with self._bus.kernel:
            if not self._bus.stopped:
                self.poll()

    def stop(self) -> None:
        """The system shuts down."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
