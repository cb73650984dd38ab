"""Waiting in the kernel.

A LinuxSystem has one lock, :class:`Kernel`, held by the thread that runs in it. Where the real kernel would sleep,
``wait_until`` releases the lock, so others can go on. A :class:`Mutex` is one of the kernel's own mutexes: it
stays locked while its holder sleeps, so others that need it have to wait, as on the real system (MTX-5, MTX-70).
Lock order: attribute mutex, guests lock, mdevs lock. The lock of a guest's system comes before its host's.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from apmatrix.rules.refusals import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apmatrix.cards import Clock


class Task:
    """A process in the system, as far as the kernel cares: a name, a number, and whether a signal is pending."""

    def __init__(self, comm: str = "apmatrix", pid: int = 1) -> None:
        self.comm = comm
        self.pid = pid
        self.signalled = False

    def __repr__(self) -> str:
        return f"Task({self.comm!r}, {self.pid})"


class Kernel:
    """The one lock of a LinuxSystem, and sleeping."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)

    def __enter__(self) -> Self:
        self.lock.acquire()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.lock.release()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Give up the lock, which the thread has taken once, for a block that may wait for programs."""
        self.lock.release()
        try:
            yield
        finally:
            self.lock.acquire()

    def wake(self) -> None:
        """Let every sleeper check its condition again."""
        with self.lock:
            self.changed.notify_all()

    def wait_until(self, ready: Callable[[], bool], timeout: float | None = None) -> bool:
        """Sleep without the lock until ``ready()``, or ``timeout`` seconds of the clock; the final ``ready()``."""
        return self.clock.wait_for(self.changed, ready, timeout)

    def signal(self, task: Task) -> None:
        """Send ``task`` a signal, which ends its interruptible wait."""
        with self.lock:
            task.signalled = True
            self.changed.notify_all()


class Mutex:
    """A mutex of the kernel. Not recursive: taking it twice is a bug and raises RuntimeError."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.name = name
        self._kernel = kernel
        self._owner: int | None = None

    def acquire(self, task: Task | None = None) -> None:
        """Take the mutex; with a task the wait can be interrupted (raises Interrupted)."""
        me = threading.get_ident()
        if self._owner == me:
            raise RuntimeError(f"{self.name} taken twice")
        while self._owner is not None:
            if task and task.signalled:
                raise Interrupted(f"a signal ended the wait for {self.name}")
            self._kernel.wait_until(lambda: self._owner is None or bool(task and task.signalled))
        self._owner = me

    def release(self) -> None:
        """Release the mutex."""
        self._owner = None
        self._kernel.changed.notify_all()

    @contextmanager
    def taken(self, task: Task) -> Iterator[None]:
        """Hold the mutex for a block; Interrupted if a signal for ``task`` ends the wait for it."""
        self.acquire(task)
        try:
            yield
        finally:
            self.release()

    @property
    def held(self) -> bool:
        """True while the calling thread holds the mutex."""
        return self._owner == threading.get_ident()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.release()
