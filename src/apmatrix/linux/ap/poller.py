"""Polling the queues: the bus's poll timer and its interrupts."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from apmatrix.linux.ap import states
from apmatrix.linux.ap.states import Wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.cards import Timer
    from apmatrix.linux.ap.ap_queue import ApQueue
    from apmatrix.linux.ap.bus import ApBus


class Poller:
    """Runs the state machines of the queues.

    One timer serves all queues: short while replies are awaited without interrupts, 40 ms while queues are in reset.
    Whatever it was started for, all queues that are not at rest are run then: those too that wait for nothing. An
    interrupt, or a request from a callback, that comes while a machine is running waits its turn.
    """

    def __init__(self, bus: ApBus) -> None:
        self._bus = bus
        self._unsettled: dict[ApQueue, None] = {}
        self._turn: deque[ApQueue] = deque()
        self._running = False
        self._missed = False
        self._timer: Timer | None = None
        self._due: float | None = None
        self._wait = Wait.NONE

    def run(self, *queues: ApQueue) -> None:
        """Run the machines of ``queues`` now, and again whenever they ask to be run."""
        self._turn.extend(queues)
        self._take_turns(lambda: None)

    def step(self, queue: ApQueue) -> None:
        """Run the machine of ``queue`` once, and again at the next poll if it asks for that."""
        self._take_turns(lambda: self._attend(queue, states.step(queue)))

    def time_out(self, queue: ApQueue) -> None:
        """The requests of ``queue`` have waited too long."""
        self._take_turns(lambda: self._attend(queue, states.time_out(queue)))

    def _take_turns(self, first: Callable[[], None]) -> None:
        if self._running:
            first()
            return
        self._running = True
        try:
            first()
            while self._turn or self._missed:
                if not self._turn:
                    self._missed = False
                    self._turn.extend(self._seen())
                    continue
                queue = self._turn.popleft()
                self._attend(queue, states.run(queue))
        finally:
            self._running = False

    def _attend(self, queue: ApQueue, wait: Wait) -> None:
        """Let ``queue`` have a part in the polls as long as it can change, and poll after ``wait`` at the latest."""
        if states.needs_polling(queue):
            self._unsettled[queue] = None
        else:
            self._unsettled.pop(queue, None)
        self._schedule(wait)

    def forget(self, queue: ApQueue) -> None:
        """Do not run the machine of ``queue`` again."""
        self._unsettled.pop(queue, None)

    def poll(self) -> None:
        """Poll every waiting queue now: the timer expired, or an interrupt came."""
        if self._running:
            self._missed = True
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._due = None
        self.run(*self._seen())

    def _seen(self) -> list[ApQueue]:
        """The unsettled queues that have a driver (BUS-46); the first reset of the others ends unnoticed."""
        active = self._bus.active
        return [queue for queue in self._unsettled if active.get(queue.apqn) is queue]

    def reschedule(self) -> None:
        """Restart the timer after the poll timeout was written: at once, as that is taken for a time (BUS-10)."""
        if self._timer is not None:
            self._timer.cancel()
        clock = self._bus.machine.clock
        self._due, self._wait = clock.now(), Wait.HIGH
        self._timer = clock.call_later(0, self._expired)

    def _schedule(self, wait: Wait) -> None:
        bus = self._bus
        if wait is Wait.NONE or (bus.interrupts and wait in (Wait.AGAIN, Wait.INTERRUPT)):
            return
        if self._timer is not None and wait >= self._wait:
            return  # it expires no later than this would
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
        """Cancel the timer and poll no more."""
        self._unsettled.clear()
        if self._timer is not None:
            self._timer.cancel()
