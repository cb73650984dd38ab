"""A request in flight through a queue device."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_numbers = itertools.count(1)


class ApMessage:
    """A request message and its outcome.

    ``rc`` is None while it is in flight, then 0 with the ``reply``, or a negative errno. ``behind`` is what the
    queue's receive buffer holds after the reply: the end of a longer, earlier one. ``done`` is called once, under
    the system's lock. ``scan`` is the number of the bus scan that ended it, if one did.
    """

    __slots__ = ("behind", "done", "message", "message_id", "rc", "reply", "scan", "special")

    def __init__(
        self, message: bytes, done: Callable[[ApMessage], None], *, special: bool = False, task_id: int = 1
    ) -> None:
        self.message_id = (task_id & 0xFFFF_FFFF) << 32 | next(_numbers) & 0xFFFF_FFFF
        self.message = message
        self.special = special
        self.done = done
        self.rc: int | None = None
        self.reply = b""
        self.behind = b""
        self.scan: int | None = None

    def finish(self, rc: int, reply: bytes = b"", behind: bytes = b"") -> None:
        """End the request with ``rc`` and what was received, and call ``done``."""
        self.rc = rc
        self.reply = reply
        self.behind = behind
        self.done(self)
