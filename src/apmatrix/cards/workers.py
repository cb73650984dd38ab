"""Where requests are processed: threads that the cards of a machine share."""

from __future__ import annotations

import os
import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, Self

from apmatrix.cards.errors import report_fault

if TYPE_CHECKING:
    from collections.abc import Callable


_Work = tuple["Callable[..., Any]", tuple[Any, ...]]


class Turn:
    """What is to be done for one queue. The queues with work take turns, so that none waits for all of another's."""

    __slots__ = ("listed", "lock", "work")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.work: deque[_Work] = deque()
        self.listed = False  # whether it waits among the turns


class Workers(Protocol):
    """What an adapter needs."""

    def submit(self, turn: Turn, action: Callable[..., Any], /, *arguments: Any) -> Any:
        """Have ``action`` called soon; RuntimeError if no more work is accepted."""


class Inline:
    """Processes each request at once, inside NQAP: for tests that need no threads."""

    def submit(self, _turn: Turn, action: Callable[..., Any], /, *arguments: Any) -> None:
        """Call ``action`` before returning."""
        action(*arguments)


class WorkerPool:
    """A fixed number of daemon threads, by default one per processor, started with the first request.

    The requests of one queue are begun in their order; queues with requests take turns. No caller asks for a result,
    so there are no futures: that halves what the standard executor adds to each request (measured: 15 µs).
    """

    def __init__(self, threads: int | None = None) -> None:
        self._turns: SimpleQueue[Turn | None] = SimpleQueue()
        self._closed = False
        self._size = threads or os.cpu_count() or 1
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()  # guards the start and the end of the threads

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, turn: Turn, action: Callable[..., Any], /, *arguments: Any) -> None:
        """Have ``action`` called by one of the threads when its turn comes; RuntimeError after :meth:`close`."""
        if self._closed:
            raise RuntimeError("the machine's workers have been closed")
        with turn.lock:
            turn.work.append((action, arguments))
            if not turn.listed:
                turn.listed = True
                self._turns.put(turn)
        if not self._threads:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._threads or self._closed:
                return
            self._threads = [
                threading.Thread(target=self._run, name=f"apmatrix-card-{number}", daemon=True)
                for number in range(self._size)
            ]
            for thread in self._threads:
                thread.start()

    def close(self) -> None:
        """Finish what was submitted, then end the threads."""
        with self._lock:
            self._closed = True
        for _ in self._threads:
            self._turns.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            action, arguments = work
            try:
                action(*arguments)
            except Exception:  # a faulty interruption handler, say, must not cost a worker
                report_fault()

    def _next(self) -> _Work | None:
        """The next work in turn; the rest of its queue's goes to the end of the line. None when all is done."""
        while (turn := self._turns.get()) is None:
            if self._turns.empty():
                return None
            self._turns.put(None)  # what still has its turn was submitted before the end
        with turn.lock:
            work = turn.work.popleft()
            if turn.work:
                self._turns.put(turn)
            else:
                turn.listed = False
        return work
