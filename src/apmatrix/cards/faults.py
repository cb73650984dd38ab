"""The fault switchboard: what can go wrong with queues and cards, on demand.

A fault is written as words ``key=value``, in files and commands alike::

    adapter=5 domain=6 on=zapq response=0x02 times=2    ZAPQ of 05.0006 answers 02 twice
    adapter=5 verb=PK reply=0x90 status=0x4d skip=10    from the 11th on, RSA requests fail in transport
    domain=0x33 delay=1.5                               every reply of domain 0x33 comes 1.5 seconds later
    lose=held times=1                                   the next request stays in process until the queue is reset
    adapter=0xa verb=38 state=checkstopped times=1      the card fails when it is asked for information
"""

from __future__ import annotations

import difflib
import re
import threading
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from apmatrix.arch import ResponseCode
from apmatrix.arch.mask import parse_number
from apmatrix.arch.messages import ReplyCode
from apmatrix.cards.adapter import AdapterState
from apmatrix.cards.coprocessor import Coprocessor
from apmatrix.cards.errors import CardError
from apmatrix.cards.filters import Answer, Filter, Handling, Loss, QueueFunction
from apmatrix.cards.messages import CoprocessorRequest, RefusedMessage, error_reply
from apmatrix.cards.traffic import request_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apmatrix.cards.engine import Queue
    from apmatrix.cards.firmware import Request

REQUEST: Final = "request"
"""The ``on`` of faults that happen to requests before they reach the card."""


_LONGEST_DELAY: Final = 86400
_VERB: Final = re.compile(r"[A-Z]{2}|CRT|[0-9]{1,5}")


class FaultError(CardError):
    """A fault is written wrongly; the text says which word and what is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: where (None: everywhere), to which function or request, what happens, and how often.

    ``response`` belongs to functions, the other effects to requests. The fault skips the first ``skip`` of them, and
    ends after ``times`` (None: never).
    """

    adapter: int | None = None
    domain: int | None = None
    on: QueueFunction | None = None
    verb: str | None = None
    contains: bytes | None = field(default=None, repr=False)
    response: ResponseCode | None = None
    asynchronous: bool = False
    reply: ReplyCode | None = None
    status: int = 0
    delay: float = 0.0
    lose: Loss | None = None
    state: AdapterState | None = None
    skip: int = 0
    times: int | None = None

    def __post_init__(self) -> None:
        effects = (self.reply is not None, self.delay > 0, self.lose is not None, self.state is not None)
        narrowed = (self.verb is not None, self.contains is not None, *effects)
        if (self.on is not None) != (self.response is not None):
            raise FaultError("on= and response= belong together: on=zapq response=0x02")
        if self.on is not None and any(narrowed):
            raise FaultError("a fault of a function has response= and no words about requests")
        if (self.asynchronous and self.response is None) or (self.status and self.reply is None):
            raise FaultError("async= belongs to response=, status= to reply=")
        if self.on is None and not any(effects):
            raise FaultError("the fault has no effect: say response=, reply=, delay=, lose= or state=")

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read the words described in the module's docstring; FaultError names what is wrong."""
        values: dict[str, object] = {}
        for word in text.split():
            key, equals, value = word.partition("=")
            if not equals or key not in _WORDS:
                near = difflib.get_close_matches(key, _WORDS, n=1) if equals else []
                hint = f"; did you mean {near[0]}=?" if near else ""
                raise FaultError(
                    f"{word!r}: a fault is made of words like {', '.join(f'{w}=' for w in _WORDS)}{hint}"
                )
            if _field_name(key) in values:
                raise FaultError(f"{word!r}: {key}= is there twice")
            try:
                values[_field_name(key)] = _WORDS[key].read(value)
            except ValueError as error:
                raise FaultError(f"{word!r}: {error}") from None
        return cls(**values)  # type: ignore[arg-type]

    def __str__(self) -> str:
        """The words that :meth:`parse` reads."""
        defaults = {item.name: item.default for item in fields(self)}
        given = ((key, word, getattr(self, _field_name(key))) for key, word in _WORDS.items())
        return " ".join(
            f"{key}={word.write(value)}" for key, word, value in given if value != defaults[_field_name(key)]
        )

    def is_at(self, queue: Queue) -> bool:
        """True for queues that the fault applies to."""
        adapter, domain = queue.apqn
        return self.adapter in (None, adapter) and self.domain in (None, domain)

    def concerns(self, request: Request) -> bool:
        """True for requests that the fault applies to."""
        if self.verb is not None and request_kind(request.message).verb != self.verb:
            return False
        return self.contains is None or self.contains in request.message


class _Word(NamedTuple):
    """How the value of a word is read and written."""

    read: Callable[[str], Any]
    write: Callable[[Any], str] = str


def _choice(names: Mapping[str, object]) -> _Word:
    def read(text: str) -> object:
        if text not in names:
            raise ValueError(f"give one of {', '.join(names)}")
        return names[text]

    return _Word(read, lambda value: next(name for name, named in names.items() if named == value))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= _LONGEST_DELAY:
        raise ValueError(f"give a number of seconds above 0, at most {_LONGEST_DELAY}")
    return seconds


def _count(text: str) -> int:
    try:
        return parse_number(text, 0xFFFFFFFF)
    except ValueError:
        raise ValueError("give a number from 0 to 0xffffffff") from None


def _verb(text: str) -> str:
    verb = text.upper()
    if not _VERB.fullmatch(verb):
        raise ValueError("give ME, CRT, two letters of CCA such as PK, or a function number of EP11 such as 38")
    return verb


def _octets(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if not found:
        raise ValueError("give bytes in hexadecimal, such as 0a0b")
    return found


def _field_name(key: str) -> str:
    return "asynchronous" if key == "async" else key


_WORDS: Final[Mapping[str, _Word]] = {
    "adapter": _Word(parse_number),
    "domain": _Word(parse_number, hex),
    "on": _choice({function.value: function for function in QueueFunction} | {REQUEST: None}),
    "verb": _Word(_verb),
    "contains": _Word(_octets, bytes.hex),
    "response": _Word(lambda text: ResponseCode(parse_number(text)), hex),
    "async": _choice({"yes": True, "no": False}),
    "reply": _Word(lambda text: ReplyCode(parse_number(text)), hex),
    "status": _Word(_count, hex),
    "delay": _Word(_seconds),
    "lose": _choice({loss.value: loss for loss in Loss}),
    "state": _choice({state.value: state for state in AdapterState}),
    "skip": _Word(_count),
    "times": _Word(_count),
}


class _Switch:
    """An active fault, how often it was considered, and how often it happened."""

    __slots__ = ("fault", "hits", "seen")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.seen = 0
        self.hits = 0

    def fires(self) -> bool:
        """Count one more event; True if the fault happens this time."""
        self.seen += 1
        limit = self.fault.times
        if self.seen <= self.fault.skip or (limit is not None and self.hits >= limit):
            return False
        self.hits += 1
        return True


class Switchboard(Filter):
    """The active faults. One board can serve all adapters of a machine: add it to the filters of each."""

    def __init__(self) -> None:
        self._switches: dict[int, _Switch] = {}
        self._next = 1
        self._lock = threading.Lock()  # guards the switches and their counts

    def switch_on(self, fault: Fault) -> int:
        """Let ``fault`` happen from now on; the number switches it off again."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._switches[number] = _Switch(fault)
            return number

    def switch_off(self, number: int | None = None) -> None:
        """End one fault, or all; FaultError if there is no active fault of this number."""
        with self._lock:
            if number is None:
                self._switches.clear()
            elif self._switches.pop(number, None) is None:
                raise FaultError(
                    f"there is no fault {number}; active faults: {', '.join(map(str, self._switches)) or 'none'}"
                )

    def faults(self) -> dict[int, tuple[Fault, int]]:
        """Each active fault, by its number, and how often it has happened."""
        with self._lock:
            return {number: (switch.fault, switch.hits) for number, switch in self._switches.items()}

    def function(self, queue: Queue, function: QueueFunction) -> Answer | None:
        """The answer of the first fault that happens to this function."""
        fault = self._first(lambda fault: fault.on is function and fault.is_at(queue))
        if fault is None or fault.response is None:
            return None
        return Answer(fault.response, fault.asynchronous)

    def request(self, queue: Queue, handling: Handling) -> Handling:
        """The effects of the first fault that happens to this request."""
        request = handling.request
        fault = self._first(lambda fault: fault.on is None and fault.is_at(queue) and fault.concerns(request))
        if fault is None:
            return handling
        if fault.state is not None:
            queue.adapter.set_state(fault.state)
        reply = handling.reply if fault.reply is None else _fault_reply(queue, request, fault.reply, fault.status)
        return replace(handling, reply=reply, delay=handling.delay + fault.delay, loss=fault.lose or handling.loss)

    def _first(self, concerned: Callable[[Fault], bool]) -> Fault | None:
        if not self._switches:
            return None
        with self._lock:
            for switch in self._switches.values():
                if concerned(switch.fault) and switch.fires():
                    return switch.fault
        return None


def _fault_reply(queue: Queue, request: Request, code: ReplyCode, status: int) -> bytes:
    """A reply with ``code``; with a final status it needs the whole control block (hardware.md 3.5)."""
    firmware = queue.adapter.firmware
    if status and isinstance(firmware, Coprocessor):
        try:
            return firmware.refusal(CoprocessorRequest.parse(request.message), code, status)
        except RefusedMessage:
            pass
    return error_reply(code)
