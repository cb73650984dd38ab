"""Sending one message through one queue, and waiting for its reply."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from apmatrix.linux.ap.message import ApMessage
from apmatrix.linux.zcrypt.replies import Reply, ReplyError
from apmatrix.rules.refusals import Interrupted

if TYPE_CHECKING:
    from apmatrix.linux.ap import ApQueue
    from apmatrix.linux.core import Task


def exchange(queue: ApQueue, message: bytes, *, special: bool = False, task: Task | None = None) -> Reply:
    """Send ``message`` and wait for the reply; ``special`` is NQAP's S bit, ``task`` is the program that waits.

    Raises ReplyError with the errno of the queue, Interrupted if a signal for ``task`` ends the wait.
    """
    kernel = queue.bus.kernel
    request = ApMessage(message, lambda _: kernel.wake(), special=special, task_id=task.pid if task else 1)
    with kernel:
        queue.send(request)
        kernel.wait_until(lambda: request.rc is not None or (task is not None and task.signalled))
        if request.rc is None:
            queue.cancel(request)
            raise Interrupted(f"a signal ended the wait for queue {queue.apqn}")
    if request.rc:
        number = -request.rc
        reason = f"queue {queue.apqn} gave up the request: {errno.errorcode[number]}"
        raise ReplyError(number, reason, scan=request.scan)
    return Reply(request.reply, request.behind)
