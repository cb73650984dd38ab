"""Records of a queue's traffic, and their replay.

A record holds requests and replies as they were, with any keys in them: its file should be for its owner only.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import msgspec

from apmatrix.arch import Apqn
from apmatrix.cards.errors import CardError
from apmatrix.cards.filters import Filter, Handling
from apmatrix.cards.traffic import comparable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from io import FileIO
    from typing import BinaryIO

    from apmatrix.cards.engine import Queue
    from apmatrix.cards.firmware import Request

_LONGEST_LINE: Final = 1 << 20
"""The most bytes of a line of a record: many times what an exchange with the longest message has."""


class RecordingError(CardError):
    """A record cannot be read; the text names file and line."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its reply; ``time`` is the adapter's clock when the reply came."""

    time: float
    apqn: Apqn
    message_id: int
    special: bool
    message: bytes = field(repr=False)
    reply: bytes = field(repr=False)


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """An exchange in a file: one JSON object per line."""

    time: float
    apqn: str
    message_id: int
    special: bool
    message: str
    reply: str


class Recorder(Filter):
    """Passes every exchange of its adapters' queues on to ``take``, in the order of the replies."""

    def __init__(self, take: Callable[[Exchange], None]) -> None:
        self._take = take
        self._ended = False
        self._lock = threading.Lock()  # one exchange at a time

    def reply(self, queue: Queue, request: Request, reply: bytes) -> bytes:
        """Hand the exchange to ``take``, and the reply on as it is."""
        now = queue.adapter.clock.now()
        exchange = Exchange(now, queue.apqn, request.message_id, request.special, request.message, reply)
        with self._lock:
            if not self._ended:
                self._take(exchange)
        return reply

    def end(self) -> None:
        """Pass nothing on from now on, not even an exchange whose reply is just on its way."""
        with self._lock:
            self._ended = True


class Replay(Filter):
    """Answers requests as a record says: same message, same reply, in the record's order.

    If a message comes more often than it was recorded, its last reply is repeated. Requests that were never
    recorded go to the card. Pointers that Linux leaves in a CPRBX are not compared.
    """

    def __init__(self, exchanges: Iterable[Exchange]) -> None:
        self._replies: defaultdict[bytes, deque[bytes]] = defaultdict(deque)
        self._lock = threading.Lock()
        for exchange in exchanges:
            self._replies[comparable(exchange.message)].append(exchange.reply)

    def request(self, queue: Queue, handling: Handling) -> Handling:
        """Give the recorded reply, if there is one."""
        del queue
        with self._lock:
            replies = self._replies.get(comparable(handling.request.message))
            if not replies:
                return handling
            reply = replies.popleft() if len(replies) > 1 else replies[0]
        return replace(handling, reply=reply)


def write_exchange(file: FileIO) -> Callable[[Exchange], None]:
    """A ``take`` for :class:`Recorder`: appends each exchange to an open file as a line of JSON.

    It raises OSError for an exchange that cannot be written, and leaves no part of it.
    """

    def write(exchange: Exchange) -> None:
        line = _Line(
            exchange.time,
            str(exchange.apqn),
            exchange.message_id,
            exchange.special,
            exchange.message.hex(),
            exchange.reply.hex(),
        )
        whole = file.seek(0, os.SEEK_END)
        rest = memoryview(msgspec.json.encode(line) + b"\n")
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            file.truncate(whole)
            raise

    return write


def read_exchanges(file: BinaryIO, name: str) -> list[Exchange]:
    """The exchanges in an open file; RecordingError has the ``name`` of the file and the line that is wrong."""
    exchanges = []
    number = 0
    try:
        while text := file.readline(_LONGEST_LINE):
            number += 1
            exchanges.append(_exchange(text))
    except OSError as error:
        raise RecordingError(f"{name}: the record cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise RecordingError(f"{name}, line {number}: this is not a recorded exchange: {error}") from None
    return exchanges


def _exchange(text: bytes) -> Exchange:
    """The exchange in a line; ValueError if there is none."""
    line = msgspec.json.decode(text, type=_Line)
    apqn, message, reply = Apqn.parse(line.apqn), bytes.fromhex(line.message), bytes.fromhex(line.reply)
    return Exchange(line.time, apqn, line.message_id, line.special, message, reply)
