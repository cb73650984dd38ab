"""Time for tests that never really wait: it passes by itself while a call waits for it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from apmatrix.cards.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE: Final = 1000.0
"""Seconds that a wait without a timeout lets pass; Linux gives up on a request after 900."""


class VirtualClock(ManualClock):
    """A manual clock that a wait advances, timer by timer, until its condition is true.

    A wait without a timeout advances it by at most :data:`PATIENCE` seconds; after that only another thread, or
    :meth:`advance`, ends the wait. Cards must do their work inline, or time passes while they compute.
    """

    def wait_for(
        self, condition: threading.Condition, predicate: Callable[[], bool], timeout: float | None = None
    ) -> bool:
        """Wait; the only real time that passes is that of the actions that become due."""
        if predicate():
            return True
        wait = _Wait(self, condition, predicate, timeout)
        with self._lock:
            self._waiting.append(condition)
        try:
            # The actions need the lock that the caller holds: another thread runs them while this one waits.
            threading.Thread(target=wait.move_on, name="apmatrix-time", daemon=True).start()
            condition.wait_for(wait.is_over)
        finally:
            wait.ended = True
            condition.notify_all()
            with self._lock:
                self._waiting.remove(condition)
        return predicate()

    def run_next(self, end: float) -> bool:
        """Run the next timer that is due by ``end``; False if there is none."""
        alarm = self._take_due(end)
        if alarm is None:
            return False
        alarm.run()
        return True


class _Wait:
    """One wait; ``ended`` is guarded by its condition."""

    def __init__(
        self,
        clock: VirtualClock,
        condition: threading.Condition,
        predicate: Callable[[], bool],
        timeout: float | None,
    ) -> None:
        self.ended = False
        self._clock = clock
        self._condition = condition
        self._predicate = predicate
        self._limited = timeout is not None
        self._end = clock.now() + (PATIENCE if timeout is None else timeout)

    def is_over(self) -> bool:
        """True if the condition is true or the timeout has passed."""
        return self._predicate() or (self._limited and self._clock.now() >= self._end)

    def move_on(self) -> None:
        """Advance the clock, timer by timer, until the wait has ended."""
        while not self._has_ended():
            if not self._clock.run_next(self._end):
                if self._limited:
                    self._clock.advance(max(0.0, self._end - self._clock.now()))
                return

    def _has_ended(self) -> bool:
        with self._condition:
            while self.is_over() and not self.ended:
                self._condition.notify_all()
                self._condition.wait()
            return self.ended
