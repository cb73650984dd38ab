"""The AP queue status word (hardware.md 1.2)."""

from __future__ import annotations

import functools

from apmatrix.arch.codes import ResponseCode
from apmatrix.arch.layout import Layout, bits, flag


class QueueStatus(Layout, width=32):
    """What GR1 bits 32-63 hold after an AP instruction: the queue *after* the operation.

    ``empty`` means neither requests in process nor replies waiting. Linux relies on it: if it is set too early,
    Linux sends everything again; if it is never set, Linux keeps polling.
    """

    empty = flag(0)
    replies_waiting = flag(1)
    queue_full = flag(2)
    async_error = flag(6)
    interrupts_enabled = flag(7)
    response_code = bits(8, 15, ResponseCode)

    @property
    def ok(self) -> bool:
        """True for response code 00: the function was executed."""
        return not self.value & 0x00FF0000


@functools.lru_cache(maxsize=1024)
def queue_status(
    response_code: ResponseCode = ResponseCode.NORMAL,
    empty: bool = False,
    replies_waiting: bool = False,
    queue_full: bool = False,
    interrupts_enabled: bool = False,
) -> QueueStatus:
    """A status word from its parts; the few hundred that occur are made once, and found fastest by position."""
    return QueueStatus(
        response_code=response_code,
        empty=empty,
        replies_waiting=replies_waiting,
        queue_full=queue_full,
        interrupts_enabled=interrupts_enabled,
    )


NOT_AVAILABLE = queue_status(ResponseCode.NOT_AVAILABLE)
"""The answer for an APQN outside the effective matrix: 00010000."""
