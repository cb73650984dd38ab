"""Uevents: what the kernel tells user space about its devices."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Uevent:
    """One event. ``devpath`` begins with ``/devices`` or ``/bus``…; ``env`` holds what the device adds."""

    seqnum: int
    action: str
    devpath: str
    subsystem: str
    env: Mapping[str, str]

    def lines(self) -> list[str]:
        """``KEY=value`` for every variable, in the kernel's order."""
        fixed = [f"ACTION={self.action}", f"DEVPATH={self.devpath}", f"SUBSYSTEM={self.subsystem}"]
        return [*fixed, *(f"{key}={value}" for key, value in self.env.items()), f"SEQNUM={self.seqnum}"]


class UeventStream:
    """Numbers the events, keeps the newest, and hands each one to the subscribers in order."""

    def __init__(self, size: int = 4096) -> None:
        self._seqnum = 0
        self._history: deque[Uevent] = deque(maxlen=size)
        self._subscribers: list[Callable[[Uevent], None]] = []

    def emit(self, action: str, devpath: str, subsystem: str, env: Iterable[tuple[str, str]] = ()) -> None:
        """Send an event."""
        self._seqnum += 1
        event = Uevent(self._seqnum, action, devpath, subsystem, dict(env))
        self._history.append(event)
        for subscriber in tuple(self._subscribers):
            subscriber(event)

    def subscribe(self, subscriber: Callable[[Uevent], None]) -> Callable[[], None]:
        """Call ``subscriber`` with every event from now on, under the system's lock; returns the way to stop."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    @property
    def history(self) -> tuple[Uevent, ...]:
        """The newest events, oldest first."""
        return tuple(self._history)
