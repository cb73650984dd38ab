"""The kernel log of a system: a ring of entries with time and severity."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class LogLevel(IntEnum):
    """Log levels as syslog numbers them."""

    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line: seconds since boot, log level, text."""

    time: float
    level: LogLevel
    text: str

    def __str__(self) -> str:
        return f"[{self.time:12.6f}] {self.text}"


BURST, BURST_TIME = 10, 5.0
"""The rate limit of notices: how many may be written in how many seconds."""


class KernelLog:
    """A ring of the newest log entries. ``start`` is when the system booted, in seconds of the machine's clock."""

    def __init__(self, now: Callable[[], float], size: int = 4096) -> None:
        self._now = now
        self.start = now()
        self._entries: deque[LogEntry] = deque(maxlen=size)
        self._repeated: deque[float] = deque(maxlen=BURST)

    def write(self, level: LogLevel, text: str) -> None:
        """Add an entry."""
        self._entries.append(LogEntry(self._now() - self.start, level, text))

    def error(self, text: str) -> None:
        """Add an error."""
        self.write(LogLevel.ERROR, text)

    def warning(self, text: str) -> None:
        """Add a warning."""
        self.write(LogLevel.WARNING, text)

    def info(self, text: str) -> None:
        """Add an informational entry."""
        self.write(LogLevel.INFO, text)

    def limited(self, text: str) -> None:
        """Add a rate-limited notice: it is dropped if there have been too many recently."""
        now = self._now()
        if len(self._repeated) < BURST or now - self._repeated[0] >= BURST_TIME:
            self._repeated.append(now)
            self.write(LogLevel.NOTICE, text)

    @property
    def entries(self) -> tuple[LogEntry, ...]:
        """The entries, oldest first."""
        return tuple(self._entries)

    def lines(self) -> list[str]:
        """The texts alone, oldest first."""
        return [entry.text for entry in self._entries]
