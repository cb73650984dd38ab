"""A queue as one level sees it, with the AP functions that work on it.

A level's right to a queue is looked up twice for each function. The first look, :meth:`Port._reach`, finds the
queue; without a right the function ends there and no filter of the adapter sees it. But no instruction takes
``Cpc.lock``: masks may change from then on. Therefore the queue asks for the right again, under its own lock, before
it changes anything, and that second answer is the one that counts. A queue that is taken from a level and then
zeroized gets nothing more from that level and gives it nothing, not even in the middle of an instruction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apmatrix.arch import Facility, QueueInfo, ResponseCode
from apmatrix.arch.status import NOT_AVAILABLE, queue_status
from apmatrix.cards import Delivery, Request

if TYPE_CHECKING:
    from apmatrix.arch import Apqn, CardFunctions, QueueStatus
    from apmatrix.cards import Indication, Queue
    from apmatrix.machine.cpc import Cpc
    from apmatrix.machine.level import Level

NO_INFO: Final = QueueInfo(0)


class Port:
    """The AP functions of a level on one APQN, with decoded operands. Created by ``Cpc.port``; immutable.

    A port is only an address: it may be made for any APQN and kept. Each function sees the masks as they are
    at that moment, and answers 01 where the level has no such queue (hardware.md 1.4).
    """

    __slots__ = ("apqn", "level", "machine")

    def __init__(self, machine: Cpc, level: Level, apqn: Apqn) -> None:
        self.machine: Final = machine
        self.level: Final = level
        self.apqn: Final = apqn

    def __repr__(self) -> str:
        return f"<Port {self.apqn} of {self.level.name}>"

    def right(self) -> ResponseCode:
        """The level's right to the queue now: NORMAL, or the response code that refuses it."""
        return self.level.right_to(self.apqn)

    def _reach(self) -> Queue | _Refusal:
        """The first look: the queue, or what answers instead of it."""
        adapter = self.machine.adapters.get(self.apqn.adapter)
        if adapter is None:
            return _REFUSALS[ResponseCode.NOT_AVAILABLE]
        right = self.level.right_to(self.apqn)
        return adapter.queue(self.apqn.domain) if right is ResponseCode.NORMAL else _REFUSALS[right]

    def tapq(self) -> tuple[QueueStatus, QueueInfo]:
        """Test the queue: its status and the adapter's information word, all zero where there is no queue.

        The word holds only what the level can ask for: without facility 15, type and depth.
        """
        status = self._reach().test()
        if status.response_code == ResponseCode.NOT_AVAILABLE and not status.async_error:
            return status, NO_INFO
        machine = self.machine
        info = machine.adapters[self.apqn.adapter].info(machine.max_domain)
        return status, info if Facility.APFT in self.level.facilities else info.without_facilities

    def rapq(self) -> QueueStatus:
        """Reset the queue: requests and replies are dropped, interruptions disabled."""
        return self._reach().reset(right=self.right)

    def zapq(self) -> QueueStatus:
        """Reset the queue and zeroize what it holds for its owner; master keys stay (hardware.md 6.2)."""
        return self._reach().reset(zeroize=True, right=self.right)

    def aqic(self, indication: Indication | None) -> QueueStatus:
        """Enable (with an indication) or disable (None) the interruptions of the queue."""
        return self._reach().set_interruption(indication, self.right)

    def qact(self, mode: CardFunctions, highest: int) -> tuple[QueueStatus, int]:
        """The type up to ``highest`` that the queue's adapter is compatible with in ``mode``; 0 if none."""
        status = self._reach().test()
        if not status.ok:
            return status, 0
        adapter = self.machine.adapters[self.apqn.adapter]
        if not adapter.functions.modes.value & mode.modes.value:
            return status, 0
        known = adapter.hardware_type if adapter.hardware_type <= highest else adapter.compatible_type
        return status, known or 0

    def nqap(self, message_id: int, message: bytes, *, special: bool = False) -> QueueStatus:
        """Put a request message on the queue; the reply carries ``message_id``, a number of 64 bits."""
        control_domains = self.level.effective.adm
        request = Request(message_id, message, special, control_domains, "RC8A" in self.machine.features)
        return self._reach().enqueue(request, self.right)

    def dqap(self, length: int, position: int = 0) -> Delivery:
        """Take the next reply, or ``length`` bytes of it from ``position`` on (hardware.md 1.6)."""
        return self._reach().dequeue(length, position, self.right)


class _Refusal:
    """Answers instead of a queue that the level has no right to, always with the same status."""

    def __init__(self, status: QueueStatus) -> None:
        self._status: Final = status

    def test(self) -> QueueStatus:
        return self._status

    def reset(self, **_options: object) -> QueueStatus:
        return self._status

    def set_interruption(self, *_operands: object) -> QueueStatus:
        return self._status

    def enqueue(self, *_operands: object) -> QueueStatus:
        return self._status

    def dequeue(self, *_operands: object) -> Delivery:
        return Delivery(self._status)


_REFUSALS: Final = {
    ResponseCode.NOT_AVAILABLE: _Refusal(NOT_AVAILABLE),
    ResponseCode.DECONFIGURED: _Refusal(queue_status(ResponseCode.DECONFIGURED, empty=True)),
}
