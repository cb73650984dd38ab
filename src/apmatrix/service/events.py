"""The events of a machine and their subscribers, for none of which the machine ever waits."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from apmatrix.service.protocol.events import Happened, Lost

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from apmatrix.arch.events import AnyEvent

_LENGTH: Final = 1024
"""The most events that wait for a subscriber; if there are more, the oldest are dropped."""


class Events:
    """Numbers events and puts them into the queues of the subscriptions. ``now`` gives the time of an event."""

    def __init__(self, now: Callable[[], float], length: int = _LENGTH) -> None:
        self._now = now
        self._length = length
        self._sequence = 0
        self._subscriptions: set[Subscription] = set()
        self._lock = threading.Lock()  # guards all of these; the innermost one: no other lock is taken under it

    def publish(self, event: AnyEvent) -> None:
        """Number an event and queue it for the subscribers; never waits for any of them."""
        with self._lock:
            self._sequence += 1
            happened = Happened(self._sequence, self._now(), event)
            for subscription in self._subscriptions:
                subscription.put(happened)

    def subscribe(self) -> Subscription:
        """A subscription to the events from now on, to be closed by the caller."""
        with self._lock:
            subscription = Subscription(self, self._sequence, self._length)
            self._subscriptions.add(subscription)
            return subscription

    def forget(self, subscription: Subscription) -> None:
        """End a subscription."""
        with self._lock:
            self._subscriptions.discard(subscription)

    @property
    def subscribers(self) -> int:
        """How many subscriptions there are."""
        return len(self._subscriptions)


class Subscription:
    """One subscriber's queue. ``sequence`` is the number of the last event before it."""

    def __init__(self, events: Events, sequence: int, length: int) -> None:
        self.sequence = sequence
        self._events = events
        self._queue: deque[Happened] = deque()
        self._length = length
        self._lost: Happened | None = None
        self._lost_count = 0
        self._lock = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def close(self) -> None:
        """End the subscription."""
        self._events.forget(self)
        os.close(self._wake)

    def put(self, happened: Happened) -> None:
        """Add an event; if the queue is full, its oldest one is dropped and counted."""
        with self._lock:
            if len(self._queue) == self._length:
                self._lost = self._queue.popleft()
                self._lost_count += 1
            self._queue.append(happened)
        os.eventfd_write(self._wake, 1)

    def take(self) -> list[Happened]:
        """The events since the last call: first, if any were dropped, a Lost with their number."""
        with self._lock:
            found, lost = list(self._queue), self._lost
            if lost is not None:
                found.insert(0, Happened(lost.sequence, lost.time, Lost(self._lost_count)))
            self._queue.clear()
            self._lost, self._lost_count = None, 0
        return found

    def until_closed(self, connection: socket.socket) -> Iterator[Happened]:
        """The events as they come, until the other end of ``connection`` closes it or sends anything."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(connection, select.POLLIN | select.POLLRDHUP)
        while connection.fileno() not in dict(poll.poll()):
            os.eventfd_read(self._wake)
            yield from self.take()
