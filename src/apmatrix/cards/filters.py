"""The filter chain between the queues of an adapter and its card.

A filter sees every function that is executed on a queue, every request that a queue accepted and every reply of
the card. It may answer instead of the queue, and alter, delay or lose what passes. With no filters the chain
costs one test of an empty tuple.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from apmatrix.arch import QueueStatus, ResponseCode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from apmatrix.arch import Apqn
    from apmatrix.cards.engine import Queue
    from apmatrix.cards.firmware import Request


class QueueFunction(Enum):
    """The functions that a program can execute on a queue."""

    TAPQ = "tapq"
    RAPQ = "rapq"
    ZAPQ = "zapq"
    AQIC = "aqic"
    NQAP = "nqap"
    DQAP = "dqap"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response code given instead of the queue's: the function is not executed, the flags are the queue's."""

    response_code: ResponseCode
    async_error: bool = False

    def status(self, flags: QueueStatus) -> QueueStatus:
        """The status word, with ``flags`` from the queue."""
        return flags.replace(response_code=self.response_code, async_error=self.async_error)


class Loss(Enum):
    """How a request gets lost."""

    HELD = "held"  # stays in process until the queue is reset, as in a card that hangs
    GONE = "gone"  # leaves the queue without a reply, as in a card that forgot it


@dataclass(frozen=True, slots=True)
class Handling:
    """How a request is handled: what the card gets, and how its reply comes back.

    ``reply`` replaces the card's. ``delay`` (seconds of the adapter's clock) is added after the processing.
    """

    request: Request
    reply: bytes | None = field(default=None, repr=False)
    delay: float = 0.0
    loss: Loss | None = None


class Filter:
    """Base of all filters: lets everything pass. Called outside the queue's lock, from several threads."""

    def function(self, queue: Queue, function: QueueFunction) -> Answer | None:
        """Answer ``function`` instead of the queue; None lets it pass."""
        del queue, function
        return None

    def request(self, queue: Queue, handling: Handling) -> Handling:
        """Decide about a request that ``queue`` has accepted, in the order of acceptance."""
        del queue
        return handling

    def reply(self, queue: Queue, request: Request, reply: bytes) -> bytes:
        """The reply that the program gets instead of ``reply``."""
        del queue, request
        return reply


class FilterChain:
    """An adapter's filters; the first one that answers a function wins. ``chain`` has them in the order of asking."""

    __slots__ = ("_lock", "chain")

    def __init__(self) -> None:
        self.chain: tuple[Filter, ...] = ()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self.chain)

    def __len__(self) -> int:
        return len(self.chain)

    def add(self, added: Filter) -> None:
        """Add a filter after the existing ones."""
        with self._lock:
            self.chain = (*self.chain, added)

    def remove(self, removed: Filter) -> None:
        """Remove a filter; harmless if it is not in the chain."""
        with self._lock:
            self.chain = tuple(item for item in self.chain if item is not removed)

    def function(self, queue: Queue, function: QueueFunction) -> Answer | None:
        """The first answer that a filter gives, or None."""
        for item in self.chain:
            answer = item.function(queue, function)
            if answer is not None:
                return answer
        return None

    def request(self, queue: Queue, request: Request) -> Handling:
        """What all filters make of ``request``."""
        handling = Handling(request)
        for item in self.chain:
            handling = item.request(queue, handling)
        return handling

    def reply(self, queue: Queue, request: Request, reply: bytes) -> bytes:
        """What all filters make of ``reply``, in reverse order."""
        for item in reversed(self.chain):
            reply = item.reply(queue, request, reply)
        return reply


class ScriptedAnswers(Filter):
    """Answers a function on chosen queues with one response code after another, then lets it pass.

    An entry 00 lets one execution pass. For example ZAPQ answering 0A, 02, 05 and then as usual::

        ScriptedAnswers(QueueFunction.ZAPQ, [Code.STATE_CHANGE_IN_PROGRESS, Code.RESET_IN_PROGRESS, Code.BUSY])

    ``forever`` repeats the last entry. Without ``apqns`` all queues of the adapter share the script.
    """

    def __init__(
        self,
        function: QueueFunction,
        answers: Iterable[Answer | ResponseCode],
        *,
        apqns: Collection[Apqn] | None = None,
        forever: bool = False,
    ) -> None:
        self._function = function
        self._answers = deque(item if isinstance(item, Answer) else Answer(item) for item in answers)
        self._apqns = None if apqns is None else frozenset(apqns)
        self._forever = forever
        self._lock = threading.Lock()

    def function(self, queue: Queue, function: QueueFunction) -> Answer | None:
        """The next answer of the script."""
        if function is not self._function or not (self._apqns is None or queue.apqn in self._apqns):
            return None
        with self._lock:
            if not self._answers:
                return None
            answer = self._answers[0]
            if len(self._answers) > 1 or not self._forever:
                self._answers.popleft()
        passes = answer.response_code is ResponseCode.NORMAL and not answer.async_error
        return None if passes else answer

    @property
    def remaining(self) -> int:
        """Number of answers not yet given."""
        return len(self._answers)
