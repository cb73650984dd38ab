"""Resetting queues for guests (MTX-70 to MTX-72)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import ResponseCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.linux.core import Host
    from apmatrix.linux.vfio_ap.policy import VfioPolicy
    from apmatrix.linux.vfio_ap.vfio_queue import VfioQueue

INTERVAL = 0.02
"""Seconds between two polls of a queue in reset."""

_AT_ONCE = (ResponseCode.NOT_AVAILABLE, ResponseCode.DECONFIGURED, ResponseCode.CHECKSTOPPED)
_AGAIN = (ResponseCode.RESET_IN_PROGRESS, ResponseCode.BUSY, ResponseCode.STATE_CHANGE_IN_PROGRESS)
_READY = (ResponseCode.NORMAL, ResponseCode.DECONFIGURED, ResponseCode.CHECKSTOPPED)
_GONE_WRONG = (ResponseCode.SECRET_NOT_UNIQUE, ResponseCode.ASSOCIATION_FAILED)


def reset_queues(host: Host, policy: VfioPolicy, queues: Iterable[VfioQueue]) -> bool:
    """Zeroize queues and wait until all are done; False if a ZAPQ failed (MTX-71).

    The caller's mutexes stay locked meanwhile, so a stuck queue blocks all of vfio_ap.
    """
    group = tuple(queues)
    waiting = [queue for queue in group if _begin(host, queue)]
    start = host.machine.clock.now()
    while waiting:
        waited = host.machine.clock.now() - start
        waiting = [queue for queue in waiting if not _finished(host, queue, waited)]
        if not waiting or policy.gives_up(waiting, waited):
            break
        host.kernel.wait_until(lambda: False, INTERVAL)
    for queue in group:
        policy.reset_ended(queue)
    return all(queue.reset_code == ResponseCode.NORMAL for queue in group)


def _begin(host: Host, queue: VfioQueue) -> bool:
    """Issue ZAPQ for the first time; True if the queue has to be waited for."""
    code = queue.reset_code = queue.port.zapq().response_code
    if code == ResponseCode.NORMAL or code in _AGAIN:
        return True
    if code in _AT_ONCE:
        queue.release_interrupt()
    else:
        host.log.warning(f"PQAP/ZAPQ for {queue.apqn} failed with invalid rc={code}")
    return False


def _finished(host: Host, queue: VfioQueue, waited: float) -> bool:
    """Poll a queue that has been in reset for ``waited`` seconds; True if its reset is over.

    A ZAPQ that was not accepted is repeated once the queue can be reset again; the last code counts, whatever it is.
    """
    status, _ = queue.port.tapq()
    code = status.response_code
    if code in (ResponseCode.RESET_IN_PROGRESS, ResponseCode.BUSY):
        if waited:
            flags = f"{code:d}, {status.empty:d}, {status.interrupts_enabled:d}"
            host.log.limited(f"Waited {waited * 1000:.0f}ms for reset of queue {queue.apqn} ({flags})")
        return False
    if code in _GONE_WRONG or (code in _READY and queue.reset_code in _AGAIN):
        queue.reset_code = queue.port.zapq().response_code
        return False
    if code in _READY or code == ResponseCode.NOT_AVAILABLE:
        queue.release_interrupt()
    else:
        host.log.warning(f"failed to verify reset of queue {queue.apqn}: TAPQ rc={code}")
    return True
