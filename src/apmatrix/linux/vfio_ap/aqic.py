"""PQAP(AQIC) of a guest with a vfio-ap device: what vfio_ap hooks into KVM (KVM-32 to KVM-35)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import QueueStatus, Registers, ResponseCode
from apmatrix.arch.registers import InterruptionControl, PqapControl
from apmatrix.arch.status import NOT_AVAILABLE, queue_status
from apmatrix.machine import Intercepted, Notification

if TYPE_CHECKING:
    from apmatrix.linux.core import Host
    from apmatrix.linux.vfio_ap.mdev import MatrixMdev
    from apmatrix.linux.vfio_ap.vfio_queue import VfioQueue
    from apmatrix.machine import Level, Memory

RETRIES = 5
RETRY_INTERVAL = 0.02
INVALID_ADDRESS = queue_status(ResponseCode.INVALID_ADDRESS)

_TRY_AGAIN = (ResponseCode.RESET_IN_PROGRESS, ResponseCode.BUSY)


def handle_aqic(mdev: MatrixMdev, registers: Registers, memory: Memory) -> QueueStatus:
    """Enable or disable the interruptions of a queue for the guest that has ``mdev``; the status for its GR1.

    Raises Intercepted if the guest cannot have adapter interruptions (KVM-32).
    """
    module = mdev.module
    host = module.host
    with host.kernel:
        vm = mdev.vm
        if vm is None:
            return NOT_AVAILABLE
        if not vm.delivers_interrupts:
            raise Intercepted(f"AQIC of {vm.name}: the VM has no adapter interruption virtualization")
        queue = module.policy.interrupt_queue(mdev, PqapControl(registers.gr[0]).apqn)
        if queue is None:
            return NOT_AVAILABLE
        request = InterruptionControl(registers.gr[1])
        if not request.enable:
            return _disable(host, queue)
        return _enable(host, queue, vm.level, request.isc, registers.gr[2], memory)


def _enable(host: Host, queue: VfioQueue, level: Level, isc: int, address: int, memory: Memory) -> QueueStatus:
    """Let the queue set the byte at the guest's ``address`` and interrupt ``level`` (KVM-34)."""
    setter = memory.indicator(address) if address else None
    if setter is None:
        return INVALID_ADDRESS
    indication = Notification(level, address, isc, setter)
    status = queue.port.aqic(indication)
    code = status.response_code
    if code == ResponseCode.NORMAL:
        queue.interrupt = indication
    elif code != ResponseCode.OTHERWISE_CHANGED:
        _report(host, queue, status)
        _disable(host, queue)
    return status


def _disable(host: Host, queue: VfioQueue) -> QueueStatus:
    """Disable the queue's interruptions, retrying a few times, and forget the guest's byte (KVM-35)."""
    status = queue.port.aqic(None)
    for _ in range(RETRIES):
        if status.response_code not in _TRY_AGAIN:
            break
        host.kernel.wait_until(lambda: False, RETRY_INTERVAL)
        status = queue.port.aqic(None)
    if status.response_code not in (ResponseCode.NORMAL, ResponseCode.OTHERWISE_CHANGED, *_TRY_AGAIN):
        _report(host, queue, status)
    queue.release_interrupt()
    return status


def _report(host: Host, queue: VfioQueue, status: QueueStatus) -> None:
    host.log.warning(f"vfio_ap: PQAP(AQIC) for {queue.apqn} failed with rc={status.response_code}")
