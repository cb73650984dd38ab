"""Looking at queues again: the bus's poll timer and its interrupts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.linux.ap import states
from apmatrix.linux.ap.states import Wait

if TYPE_CHECKING:
    from apmatrix.cards import Timer
    from apmatrix.linux.ap.bus import ApBus
    from apmatrix.linux.ap.queue import ApQueue


class Poller:
    """Runs the state machines of the queues that wait for something.

    One timer serves all: short while replies are awaited without interrupts, 40 ms while queues are in reset.
    """

    def __init__(self, bus: ApBus) -> None:
        self._bus = bus
        self._waiting: dict[ApQueue, Wait] = {}
        self._timer: Timer | None = None
        self._due: float | None = None
        self._wait = Wait.NONE

    def attend(self, queue: ApQueue, wait: Wait) -> None:
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
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._due = None
        for queue in tuple(self._waiting):
            if queue in self._waiting:
                self.attend(queue, states.run(queue))

    def reschedule(self) -> None:
        """The poll timeout changed."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._due = None
        for wait in tuple(self._waiting.values()):
            self._schedule(wait)

    def _schedule(self, wait: Wait) -> None:
        bus = self._bus
        if wait is Wait.HIGH and bus.indication is not None:
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
