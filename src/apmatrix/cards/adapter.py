"""An adapter: a card in the machine, with its state and its queues."""

from __future__ import annotations

import functools
import threading
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Final

from apmatrix.arch import CardFunctions, CardType, QueueInfo, ResponseCode
from apmatrix.arch.cardtype import DEFAULT_DEPTH
from apmatrix.arch.info import longest_message
from apmatrix.cards.context import CardContext
from apmatrix.cards.engine import Failure, Queue
from apmatrix.cards.errors import CardError
from apmatrix.cards.filters import FilterChain
from apmatrix.cards.models import firmware_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.cards.clock import Clock
    from apmatrix.cards.firmware import Admission, Firmware, Request
    from apmatrix.cards.workers import Workers

_MAX_DEPTH: Final = 16  # the depth field has four bits
_MAX_MESSAGE_LIMIT: Final = 15


class AdapterState(Enum):
    """The state of an adapter in the machine; the values are those of the configuration file."""

    ONLINE = "online"
    DECONFIGURED = "deconfigured"
    CHECKSTOPPED = "checkstopped"


_OBSTACLES: Final = {
    AdapterState.ONLINE: ResponseCode.NORMAL,
    AdapterState.DECONFIGURED: ResponseCode.DECONFIGURED,
    AdapterState.CHECKSTOPPED: ResponseCode.CHECKSTOPPED,
}


class Adapter:
    """A Crypto Express card: type, facility bits, state, filters, and up to 256 queues.

    ``message_limit`` is in units of 4 KiB (0 means 12 KiB, None the card type's), ``reset_duration`` in seconds
    of ``clock`` (0: a reset completes at once). ``hardware_type`` is what TAPQ reports, if it is to differ from
    the card type's; ``compatible_type`` is what QACT answers for a type that Linux does not know. ``context``
    holds serial number and keys; without one the keys are lost with the adapter. CardError for a depth or limit
    that the information word has no room for.
    """

    def __init__(
        self,
        number: int,
        card_type: CardType,
        functions: CardFunctions | None = None,
        depth: int = DEFAULT_DEPTH,
        message_limit: int | None = None,
        *,
        clock: Clock,
        workers: Workers,
        state: AdapterState = AdapterState.ONLINE,
        firmware: Firmware | None = None,
        reset_duration: float = 0.0,
        hardware_type: int | None = None,
        compatible_type: int | None = None,
        context: CardContext | None = None,
    ) -> None:
        if not 1 <= depth <= _MAX_DEPTH:
            raise CardError(f"adapter {number:02x}: depth {depth} is outside 1-{_MAX_DEPTH}")
        message_limit = card_type.message_limit if message_limit is None else message_limit
        if not 0 <= message_limit <= _MAX_MESSAGE_LIMIT:
            raise CardError(f"adapter {number:02x}: message limit {message_limit} is outside 0-{_MAX_MESSAGE_LIMIT}")
        self.number = number
        self.card_type = card_type
        self.functions = card_type.functions if functions is None else functions
        self.depth = depth
        self.message_limit = message_limit
        self.clock = clock
        self.workers = workers
        self.reset_duration = reset_duration
        self.hardware_type = card_type.hardware_type if hardware_type is None else hardware_type
        self.compatible_type = compatible_type
        self.context = context or CardContext.of(number)
        self.firmware = firmware or firmware_for(card_type, self.functions, self.context)
        self.filters = FilterChain()
        self.failures: deque[Failure] = deque(maxlen=16)
        self.state_changed: Callable[[AdapterState], None] | None = None
        self.obstacle = _OBSTACLES[state]
        self._state = state
        self._queues: dict[int, Queue] = {}
        self._lock = threading.Lock()  # guards _queues and changes of the state; taken before a queue's lock

    def __repr__(self) -> str:
        return f"<Adapter {self.number:02x} {self.card_type} {self._state.value}>"

    @property
    def state(self) -> AdapterState:
        """Online, deconfigured or checkstopped."""
        return self._state

    def set_state(self, state: AdapterState) -> None:
        """Change the state; an adapter that stops working loses everything in its queues.

        ``state_changed`` is called afterwards, without the adapter's lock, if it is another state than before.
        """
        with self._lock:
            changed = state is not self._state
            self._state = state
            self.obstacle = _OBSTACLES[state]
            if state is not AdapterState.ONLINE:
                for queue in self._queues.values():
                    queue.drop()
        if changed and self.state_changed is not None:
            self.state_changed(state)

    @property
    def max_message_size(self) -> int:
        """Longest message in bytes."""
        return longest_message(self.message_limit)

    def queue(self, domain: int) -> Queue:
        """The queue of usage domain ``domain`` (0-255), created on first access."""
        found = self._queues.get(domain)
        if found is None:
            if not 0 <= domain <= 255:
                raise CardError(f"adapter {self.number:02x}: domain {domain} is outside 0-255")
            with self._lock:
                found = self._queues.setdefault(domain, Queue(self, domain))
        return found

    def used_queues(self) -> tuple[Queue, ...]:
        """The queues that have been accessed: all others are empty."""
        return tuple(self._queues.values())

    def info(self, highest_domain: int) -> QueueInfo:
        """TAPQ's information word, for a machine whose domains end at ``highest_domain``."""
        return _info(self.functions, self.hardware_type, highest_domain, self.message_limit, self.depth)

    def admit(self, domain: int, request: Request) -> Admission:
        """What NQAP answers to ``request`` beyond length and depth: 16 for S without APSC, else as the firmware.

        EP11 takes special commands though it does not report APSC (hardware.md 2.1).
        """
        if request.special and not (self.functions.special_commands or self.functions.ep11):
            return ResponseCode.FACILITY_NOT_INSTALLED
        return self.firmware.admit(domain, request)


@functools.lru_cache(maxsize=1024)
def _info(
    functions: CardFunctions, hardware_type: int, highest_domain: int, message_limit: int, depth: int
) -> QueueInfo:
    return QueueInfo(
        functions=functions,
        hardware_type=hardware_type,
        highest_domain=highest_domain,
        message_limit=message_limit,
        depth_code=depth - 1,
    )
