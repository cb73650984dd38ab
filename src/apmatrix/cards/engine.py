"""The queue engine: what is behind one APQN (hardware.md 1.2 to 1.8).

Locks: each queue has one, which guards everything in it; the adapter's lock may be held when a queue's is
taken, the clock's is taken inside. Filters, firmware and indications are called with none of them held.
"""

from __future__ import annotations

import threading
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from apmatrix.arch import Apqn, QueueStatus, ResponseCode
from apmatrix.arch.status import NOT_AVAILABLE, queue_status
from apmatrix.cards.filters import Handling, Loss, QueueFunction
from apmatrix.cards.workers import Turn

if TYPE_CHECKING:
    from apmatrix.cards.adapter import Adapter
    from apmatrix.cards.clock import Timer
    from apmatrix.cards.firmware import Admission, Request

_NORMAL: Final = ResponseCode.NORMAL  # a name of the module is read faster than a member of an enumeration
_NOT_AVAILABLE: Final = ResponseCode.NOT_AVAILABLE
_NO_PENDING_REPLY: Final = ResponseCode.NO_PENDING_REPLY

MACHINE_FAILURE = bytes.fromhex("0082000010000000")
"""The reply to a request that the card could not process because of its own fault (hardware.md 3.3)."""


class Indication(ABC):
    """Where a queue signals that a reply is waiting. Two are equal if they designate the same place."""

    __slots__ = ()

    @abstractmethod
    def post(self) -> None:
        """Set the notification indicator and make the interruption pending (hardware.md 1.8)."""


class Delivery(NamedTuple):
    """The result of DQAP.

    ``status`` is None when only a part was stored: then the reply stays, ``remaining`` bytes are left and
    ``position`` is where the next DQAP has to continue. Otherwise the status is valid, and with response code
    00 ``message_id`` and ``data`` are the reply's.
    """

    status: QueueStatus | None
    message_id: int = 0
    data: bytes = b""
    remaining: int = 0
    position: int = 0

    def __repr__(self) -> str:
        return f"<delivery of {len(self.data)} bytes, {self.remaining} left: {self.status}>"


@dataclass(frozen=True, slots=True)
class Failure:
    """A fault inside a card, for diagnosis: its kind and place, never the data that caused it."""

    apqn: Apqn
    error: str
    place: str

    @classmethod
    def of(cls, apqn: Apqn, error: BaseException) -> Failure:
        """Describe ``error`` by its type and the innermost line."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"
        return cls(apqn, type(error).__name__, place)


class _Reply(NamedTuple):
    message_id: int
    data: bytes

    def __repr__(self) -> str:
        return f"<reply {self.message_id:016x} of {len(self.data)} bytes>"


Right = Callable[[], ResponseCode]
"""A program's right to a queue: NORMAL, or the response code that refuses it. Checked under the queue's lock: once a
queue is taken from its owner and reset, that owner can neither put anything on it nor get anything from it."""


def unrestricted() -> ResponseCode:
    """The right of a program that the queue cannot be taken from."""
    return ResponseCode.NORMAL


class Queue:
    """One queue of an adapter. Cheap until it is used: the containers are made with the first request."""

    __slots__ = (
        "_arrival",
        "_awaited",
        "_epoch",
        "_in_process",
        "_indication",
        "_lock",
        "_replies",
        "_reset",
        "_turn",
        "adapter",
        "apqn",
    )

    def __init__(self, adapter: Adapter, domain: int) -> None:
        self.adapter = adapter
        self.apqn = Apqn(adapter.number, domain)
        self._lock = threading.Lock()
        self._in_process = 0
        self._replies: deque[_Reply] | None = None
        self._indication: Indication | None = None
        self._epoch = 0  # counts resets: what began in an earlier epoch is dropped when it finishes
        self._reset: Timer | None = None  # the end of the reset that is running
        self._arrival: threading.Condition | None = None
        self._turn: Turn | None = None
        self._awaited: tuple[int, ...] = ()  # how many replies each caller of wait() needs

    def __repr__(self) -> str:
        return f"<Queue {self.apqn}>"

    def test(self) -> QueueStatus:
        """TAPQ: the status, with 02, 03 or 04 where they apply; nothing changes."""
        if self.adapter.filters.chain and (answered := self._filtered(QueueFunction.TAPQ)) is not None:
            return answered
        with self._lock:
            return self._status(self._obstacle())

    def reset(self, *, zeroize: bool = False, right: Right = unrestricted) -> QueueStatus:
        """RAPQ, or ZAPQ with ``zeroize``: drop all requests and replies, disable interruptions.

        Response code 00 means that the reset has begun. It is complete at once unless the adapter has a
        ``reset_duration``, in which case everything answers 02 until it is over.
        """
        if (answered := self._filtered(QueueFunction.ZAPQ if zeroize else QueueFunction.RAPQ)) is not None:
            return answered
        with self._lock:
            obstacle = self._obstacle(right)
            if obstacle is not ResponseCode.NORMAL:
                return self._status(obstacle)
            self._drop_all()
            if self.adapter.reset_duration > 0:
                finish = partial(self._finish_reset, self._epoch)
                self._reset = self.adapter.clock.call_later(self.adapter.reset_duration, finish)
            status = self._status()
        if zeroize:
            self.adapter.firmware.zeroize(self.apqn.domain)
        return status

    def enqueue(self, request: Request, right: Right = unrestricted) -> QueueStatus:
        """NQAP of a whole message. Response code 00: in process; otherwise nothing was taken.

        The checks come in the order of hardware.md 1.6: configuration and state, length (15), depth (10),
        special command (16), domain (42).
        """
        adapter = self.adapter
        if adapter.filters.chain and (answered := self._filtered(QueueFunction.NQAP)) is not None:
            return answered
        admission = self._admit(request)
        with self._lock:
            code = self._obstacle(right)
            if code is _NORMAL:
                if len(request.message) > adapter.max_message_size:
                    code = ResponseCode.MESSAGE_TOO_BIG
                elif self._load() >= adapter.depth:
                    code = ResponseCode.QUEUE_FULL
                elif isinstance(admission, ResponseCode):
                    code = admission
            if code is not _NORMAL:
                return self._status(code)
            self._in_process += 1
            epoch = self._epoch
            status = self._status()
        self._begin(epoch, request, None if isinstance(admission, ResponseCode) else admission)
        return status

    def dequeue(self, length: int, position: int = 0, right: Right = unrestricted) -> Delivery:
        """DQAP into a buffer of ``length`` bytes, from byte ``position`` of the reply on (hardware.md 1.6)."""
        if self.adapter.filters.chain and (answered := self._filtered(QueueFunction.DQAP)) is not None:
            return Delivery(answered)
        with self._lock:
            obstacle = self._obstacle(right)
            if obstacle is not _NORMAL:
                return Delivery(self._status(obstacle))
            replies = self._replies
            if not replies:
                return Delivery(self._status(_NO_PENDING_REPLY))
            message_id, data = replies[0]
            if position and position >= len(data):
                return Delivery(self._status(ResponseCode.INDEX_TOO_BIG))
            end = position + length
            if end < len(data):
                return Delivery(None, message_id, data[position:end], len(data) - end, end)
            replies.popleft()
            return Delivery(self._status(), message_id, data[position:] if position else data)

    def set_interruption(self, indication: Indication | None, right: Right = unrestricted) -> QueueStatus:
        """AQIC: post ``indication`` whenever a reply begins to wait; None disables interruptions.

        Response code 07 if nothing would change. If a reply is waiting when interruptions are enabled, one is
        posted at once.
        """
        if (answered := self._filtered(QueueFunction.AQIC)) is not None:
            return answered
        with self._lock:
            code = self._obstacle(right)
            if code is ResponseCode.NORMAL and indication == self._indication:
                code = ResponseCode.OTHERWISE_CHANGED
            if code is not ResponseCode.NORMAL:
                return self._status(code)
            self._indication = indication
            due = indication if self._replies else None
            status = self._status()
        self._post(due)
        return status

    def wait(self, timeout: float | None = None, *, replies: int = 1) -> bool:
        """Wait, without polling, until ``replies`` replies are ready; ``timeout`` in seconds of the clock.

        Returns whether at least one is ready. The wait also ends when nothing is in process any more, for example
        after a reset. Waiting for several at a time saves a thread switch for each.
        """

        def ready() -> bool:
            return len(self._replies or ()) >= replies or not self._in_process

        with self._lock:
            if not ready():
                if self._arrival is None:
                    self._arrival = threading.Condition(self._lock)
                self._awaited = (*self._awaited, replies)
                try:
                    self.adapter.clock.wait_for(self._arrival, ready, timeout)
                finally:
                    at = self._awaited.index(replies)
                    self._awaited = self._awaited[:at] + self._awaited[at + 1 :]
            return bool(self._replies)

    def reclaim(self, right: Right = unrestricted) -> None:
        """Take the queue from its owner: everything in it is lost and zeroized, and no filter is asked.

        Nothing happens if the owner's ``right`` is 01 by now: the queue may have another owner already.
        """
        with self._lock:
            if right() is not ResponseCode.NOT_AVAILABLE:
                self._drop_all()
                self.adapter.firmware.zeroize(self.apqn.domain)

    def drop(self) -> None:
        """Lose everything, because the adapter went away or failed."""
        with self._lock:
            self._drop_all()

    def _filtered(self, function: QueueFunction) -> QueueStatus | None:
        """What a filter answers instead of the queue; the busiest functions do not ask where there is no filter."""
        try:
            answer = self.adapter.filters.function(self, function)
        except Exception as error:
            self._fail(error)
            return None
        if answer is None:
            return None
        with self._lock:
            return answer.status(self._status())

    def _admit(self, request: Request) -> Admission:
        try:
            return self.adapter.admit(self.apqn.domain, request)
        except Exception as error:
            return self._fail(error)

    def _begin(self, epoch: int, request: Request, reply: bytes | None) -> None:
        """Hand a request that is in process to the pool, as the filters decide."""
        handling = None
        try:
            if self.adapter.filters.chain:
                handling = self.adapter.filters.request(self, request)
                if handling.loss is Loss.GONE:
                    self._complete(epoch, None)
                if handling.loss is not None:
                    return
                request, reply = handling.request, handling.reply or reply
            self.adapter.workers.submit(self._turn or self._own_turn(), self._run, epoch, request, reply, handling)
        except Exception as error:  # a faulty filter, or a pool that accepts no more work
            self._complete(epoch, _Reply(request.message_id, self._fail(error)))

    def _own_turn(self) -> Turn:
        with self._lock:
            turn = self._turn = self._turn or Turn()
        return turn

    def _fail(self, error: Exception) -> bytes:
        """Remember a fault of card, filter or indication, which must not break the queue.

        Returns the reply that reports it.
        """
        self.adapter.failures.append(Failure.of(self.apqn, error))
        return MACHINE_FAILURE

    def _run(self, epoch: int, request: Request, reply: bytes | None, handling: Handling | None) -> None:
        """Have the card process ``request``; runs on the pool."""
        if epoch != self._epoch:
            return
        adapter = self.adapter
        try:
            if reply is None:
                reply = adapter.firmware.process(self.apqn.domain, request)
            if handling is not None:
                reply = adapter.filters.reply(self, request, reply)
        except Exception as error:
            reply = self._fail(error)
        finished = _Reply(request.message_id, reply)
        if handling is not None and handling.delay > 0:
            adapter.clock.call_later(handling.delay, partial(self._complete, epoch, finished))
        else:
            self._complete(epoch, finished)

    def _complete(self, epoch: int, reply: _Reply | None) -> None:
        """Take a request out of process; its reply, if there is one, begins to wait."""
        due = None
        with self._lock:
            if epoch != self._epoch:
                return
            self._in_process -= 1
            if reply is not None:
                if self._replies is None:
                    self._replies = deque()
                if not self._replies:
                    due = self._indication
                self._replies.append(reply)
            if self._awaited:
                self._wake_waiters()
        self._post(due)

    def _post(self, indication: Indication | None) -> None:
        if indication is not None:
            try:
                indication.post()
            except Exception as error:
                self._fail(error)

    def _finish_reset(self, epoch: int) -> None:
        with self._lock:
            if epoch == self._epoch:
                self._reset = None

    def _drop_all(self) -> None:
        self._epoch += 1
        self._in_process = 0
        self._replies = None
        self._indication = None
        if self._reset is not None:
            self._reset.cancel()
            self._reset = None
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        """Wake the callers of :meth:`wait` if there is something for one of them; the lock is held."""
        if not self._awaited or self._arrival is None:
            return
        if not self._in_process or len(self._replies or ()) >= min(self._awaited):
            self._arrival.notify_all()

    def _obstacle(self, right: Right = unrestricted) -> ResponseCode:
        """01, 03, 04 or 02, in this order (hardware.md 1.4); NORMAL if nothing is in the way."""
        refusal = right()
        if refusal is not _NORMAL:
            return refusal
        obstacle = self.adapter.obstacle
        if obstacle is _NORMAL and self._reset is not None:
            return ResponseCode.RESET_IN_PROGRESS
        return obstacle

    def _load(self) -> int:
        return self._in_process + (len(self._replies) if self._replies else 0)

    def _status(self, code: ResponseCode = _NORMAL) -> QueueStatus:
        if code is _NOT_AVAILABLE:
            return NOT_AVAILABLE
        waiting = len(self._replies) if self._replies else 0
        load = self._in_process + waiting
        return queue_status(code, not load, waiting > 0, load >= self.adapter.depth, self._indication is not None)
