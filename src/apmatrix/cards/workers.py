"""Where requests are processed: threads that the cards of a machine share."""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, Self

from apmatrix.cards.errors import report_fault

if TYPE_CHECKING:
    from collections.abc import Callable


class Workers(Protocol):
    """What an adapter needs; a :class:`concurrent.futures.Executor` fits too."""

    def submit(self, action: Callable[..., Any], /, *arguments: Any) -> Any:
        """Have ``action`` called soon; RuntimeError if no more work is accepted."""


class Inline:
    """Processes each request at once, inside NQAP: for tests that need no threads."""

    def submit(self, action: Callable[..., Any], /, *arguments: Any) -> None:
        """Call ``action`` before returning."""
        action(*arguments)


class WorkerPool:
    """A fixed number of daemon threads, by default one per processor, started with the first request.

    No caller asks for a result, so there are no futures: that halves what the standard executor adds to each
    request (measured: 15 µs).
    """

    def __init__(self, threads: int | None = None) -> None:
        self._work: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        self._closed = False
        self._size = threads or os.cpu_count() or 1
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()  # guards the start and the end of the threads

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, action: Callable[..., Any], /, *arguments: Any) -> None:
        """Have ``action`` called by one of the threads; RuntimeError after :meth:`close`."""
        if self._closed:
            raise RuntimeError("the machine's workers have been closed")
        self._work.put((action, arguments))
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
            self._work.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            action, arguments = work
            try:
                action(*arguments)
            except Exception:  # a faulty interruption handler, say, must not cost a worker
                report_fault()
