"""Injected time: the real clock in production, a manual one in tests.

Everything that waits takes a :class:`Clock`. Nothing here knows about queues; a clock's own lock is the
innermost one, so it may be used with any other lock held. Actions run without any lock of the clock.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from apmatrix.cards.errors import report_fault

if TYPE_CHECKING:
    from collections.abc import Callable

_SMALL = 64
"""Timers that are kept without looking whether they were cancelled."""

_LINGER = 1.0
"""Seconds that the real clock's thread waits for another timer before it ends."""


class Timer(Protocol):
    """A postponed action."""

    def cancel(self) -> None:
        """Keep the action from starting; harmless if it has already run."""


class Clock(ABC):
    """Seconds that never go back, actions at a later time, and waiting with a limit."""

    @abstractmethod
    def now(self) -> float:
        """Seconds since the clock began, which is when its machine is started."""

    @abstractmethod
    def call_later(self, delay: float, action: Callable[[], None]) -> Timer:
        """Run ``action`` once, ``delay`` seconds from now, on a thread of the clock's choice."""

    @abstractmethod
    def wait_for(
        self, condition: threading.Condition, predicate: Callable[[], bool], timeout: float | None = None
    ) -> bool:
        """Wait on ``condition``, which the caller holds, until ``predicate`` is true.

        False if ``timeout`` seconds of this clock pass first; without a timeout it waits forever.
        """

    @abstractmethod
    def spawn(self, action: Callable[[], None]) -> None:
        """Run ``action`` soon, where it may wait; a timer's action must not, as it would hold up the next timers."""


class _Alarm:
    """An entry of the list of timers: sorted by time, then in order of creation."""

    __slots__ = ("action", "due", "order")

    def __init__(self, due: float, order: int, action: Callable[[], None]) -> None:
        self.due = due
        self.order = order
        self.action: Callable[[], None] | None = action

    def __lt__(self, other: _Alarm) -> bool:
        return (self.due, self.order) < (other.due, other.order)

    def cancel(self) -> None:
        self.action = None

    def run(self) -> None:
        action, self.action = self.action, None
        if action is not None:
            action()


class _Alarms:
    """Timers that are to run, soonest first; the clock's lock guards them.

    Most timers are cancelled long before they are due, such as the one that guards each AP request for 900 seconds.
    So whenever the heap has doubled, what was cancelled is thrown out: it holds at most twice what is needed.
    """

    def __init__(self) -> None:
        self._heap: list[_Alarm] = []
        self._order = itertools.count()
        self._full = _SMALL

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, due: float, action: Callable[[], None]) -> _Alarm:
        if len(self._heap) >= self._full:
            self._heap = [alarm for alarm in self._heap if alarm.action is not None]
            heapq.heapify(self._heap)
            self._full = max(_SMALL, 2 * len(self._heap))
        alarm = _Alarm(due, next(self._order), action)
        heapq.heappush(self._heap, alarm)
        return alarm

    def soonest(self) -> float:
        """When the first of them is due."""
        return self._heap[0].due

    def take(self) -> _Alarm:
        """Take out the first."""
        return heapq.heappop(self._heap)

    def clear(self) -> None:
        self._heap.clear()


class RealClock(Clock):
    """Real time, from 0 when the clock is made. One daemon thread runs the timers, and only while there are some."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._alarms = _Alarms()
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None

    def now(self) -> float:
        """Seconds since the clock was made."""
        return time.monotonic() - self._start

    def call_later(self, delay: float, action: Callable[[], None]) -> Timer:
        """Run ``action`` on the clock's thread."""
        due = self.now() + delay
        with self._changed:
            alarm = self._alarms.add(due, action)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="apmatrix-clock", daemon=True)
                self._thread.start()
            else:
                self._changed.notify()
        return alarm

    def close(self) -> None:
        """Forget all timers, so that neither they nor what they would work on outlive their machine."""
        with self._changed:
            self._alarms.clear()
            self._changed.notify()

    def wait_for(
        self, condition: threading.Condition, predicate: Callable[[], bool], timeout: float | None = None
    ) -> bool:
        """Wait in real time."""
        return condition.wait_for(predicate, timeout)

    def spawn(self, action: Callable[[], None]) -> None:
        """Run ``action`` on a thread of its own."""
        threading.Thread(target=action, name="apmatrix-work", daemon=True).start()

    def _run(self) -> None:
        while alarm := self._next():
            try:
                alarm.run()
            except Exception:  # one faulty action must not stop the other timers
                report_fault()

    def _next(self) -> _Alarm | None:
        """Wait for the next timer that is due; None if there has been nothing to do for a while."""
        with self._changed:
            while True:
                if not self._alarms and not self._changed.wait_for(lambda: bool(self._alarms), _LINGER):
                    self._thread = None
                    return None
                remaining = self._alarms.soonest() - self.now()
                if remaining <= 0:
                    return self._alarms.take()
                self._changed.wait(min(remaining, threading.TIMEOUT_MAX))


class ManualClock(Clock):
    """Time that stands still until :meth:`advance` moves it: for tests.

    ``advance`` must not be called with a lock held that a timer's action or a waiting thread needs.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._alarms = _Alarms()
        self._waiting: list[threading.Condition] = []
        self._lock = threading.Lock()

    def now(self) -> float:
        """The start plus the sum of all advances."""
        return self._now

    def call_later(self, delay: float, action: Callable[[], None]) -> Timer:
        """Run ``action`` inside the :meth:`advance` that reaches its time, never before."""
        with self._lock:
            return self._alarms.add(self._now + max(0.0, delay), action)

    def advance(self, seconds: float) -> None:
        """Move time on; due timers run in the order of their times, each seeing its own time as now."""
        target = self._now + seconds
        while alarm := self._take_due(target):
            alarm.run()
        with self._lock:
            self._now = max(self._now, target)
            waiting = list(self._waiting)
        for condition in waiting:
            with condition:
                condition.notify_all()

    def wait_for(
        self, condition: threading.Condition, predicate: Callable[[], bool], timeout: float | None = None
    ) -> bool:
        """Wait for the condition; the timeout passes only by :meth:`advance`."""
        with self._lock:
            end = None if timeout is None else self._now + timeout
            self._waiting.append(condition)
        try:
            condition.wait_for(lambda: predicate() or (end is not None and self._now >= end))
        finally:
            with self._lock:
                self._waiting.remove(condition)
        return predicate()

    def spawn(self, action: Callable[[], None]) -> None:
        """Run ``action`` before returning, so that tests see its effects."""
        action()

    def _take_due(self, target: float) -> _Alarm | None:
        with self._lock:
            if not self._alarms or self._alarms.soonest() > target:
                return None
            alarm = self._alarms.take()
            self._now = max(self._now, alarm.due)
            return alarm
