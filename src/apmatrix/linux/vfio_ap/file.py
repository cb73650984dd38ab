"""VFIO device files of mdevs (host.md section 5)."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from apmatrix.arch import EMPTY_MATRIX
from apmatrix.linux.core import EventFd
from apmatrix.linux.vfio_ap.aqic import handle_aqic
from apmatrix.rules.findings import Holder
from apmatrix.rules.refusals import BadValue, Failed, InUse

if TYPE_CHECKING:
    from apmatrix.linux.kvm import KvmVm
    from apmatrix.linux.vfio_ap.mdev import MatrixMdev
    from apmatrix.linux.vfio_ap.module import VfioAp

DEVICE_FLAGS = 0x21
"""VFIO_DEVICE_FLAGS_AP | VFIO_DEVICE_FLAGS_RESET."""

REQUEST_IRQ, CONFIG_IRQ = 0, 1
IRQS = 2

INFO_SIZE, IRQ_INFO_SIZE, SET_IRQS_SIZE = 16, 16, 20

DATA_NONE, DATA_BOOL, DATA_EVENTFD = 0x01, 0x02, 0x04
ACTION_MASK, ACTION_UNMASK, ACTION_TRIGGER = 0x08, 0x10, 0x20
_KNOWN_FLAGS = 0x3F

DEVICE_FEATURE = 0x3B75


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What VFIO_DEVICE_GET_INFO returns."""

    flags: int = DEVICE_FLAGS
    regions: int = 0
    irqs: int = IRQS


@dataclass(frozen=True, slots=True)
class IrqInfo:
    """What VFIO_DEVICE_GET_IRQ_INFO returns about an event."""

    index: int
    count: int = 1
    flags: int = 1


class BadPointer:
    """A user address that cannot be read or written, used instead of an operand."""


BAD_POINTER = BadPointer()


def _fault() -> Failed:
    return Failed("the address is not the caller's", number=errno.EFAULT)


def open_device(module: VfioAp, uuid: str, vm: KvmVm | None) -> VfioFile:
    """Open an mdev for a VM (VFIO-2, VFIO-3).

    Refused: ENODEV if there is no such mdev, EINVAL without a VM, EBUSY if another VM has the mdev, EPERM if the VM
    has another mdev. The same VM may open it again.
    """
    with module.host.kernel:
        mdev = module.lifecycle.find(uuid)
        if vm is None:
            raise BadValue(f"mdev {uuid} cannot be opened without a VM")
        if mdev.opens:
            _check_sharing(mdev, vm)
            mdev.opens += 1
            return VfioFile(mdev)
        if vm.pqap_hook is not None:
            raise Failed(f"VM {vm.name} already has a vfio-ap device", number=errno.EPERM)
        module.policy.check_open(mdev, vm.level.form.limits)
        with module.guests_lock, module.mdevs_lock:
            mdev.opens = 1
            mdev.vm = vm
            vm.pqap_hook = partial(handle_aqic, mdev)
            module.update_guest(mdev)
        return VfioFile(mdev)


def _check_sharing(mdev: MatrixMdev, vm: KvmVm) -> None:
    if mdev.vm is not vm:
        holder = Holder("guest", mdev.vm.name, mdev.name) if mdev.vm else Holder("process")
        raise InUse(f"mdev {mdev.name} is in use by VM {holder}", holder=holder, remedy="stop that VM first")


class VfioFile:
    """An open file of an mdev. The mdev belongs to the VM from the first open to the last close."""

    def __init__(self, mdev: MatrixMdev) -> None:
        self.mdev = mdev
        self.closed = False
        self._kernel = mdev.module.host.kernel

    def get_info(self, argsz: int | BadPointer = INFO_SIZE) -> DeviceInfo:
        """VFIO_DEVICE_GET_INFO: EINVAL for a short structure, EFAULT for a bad pointer (VFIO-10)."""
        if isinstance(argsz, BadPointer):
            raise _fault()
        if argsz < INFO_SIZE:
            raise BadValue(f"argsz {argsz} is less than {INFO_SIZE}")
        return DeviceInfo()

    def get_irq_info(self, index: int, argsz: int | BadPointer = IRQ_INFO_SIZE) -> IrqInfo:
        """VFIO_DEVICE_GET_IRQ_INFO: EINVAL for a short structure or another index, EFAULT (VFIO-12)."""
        if isinstance(argsz, BadPointer):
            raise _fault()
        if argsz < IRQ_INFO_SIZE or not 0 <= index < IRQS:
            raise BadValue(f"argsz {argsz}, index {index}: at least {IRQ_INFO_SIZE}, below {IRQS}")
        return IrqInfo(index)

    def set_irqs(
        self,
        index: int,
        fd: EventFd | int | BadPointer | object,
        *,
        flags: int = DATA_EVENTFD | ACTION_TRIGGER,
        start: int = 0,
        count: int = 1,
        argsz: int | BadPointer = SET_IRQS_SIZE + 4,
    ) -> None:
        """VFIO_DEVICE_SET_IRQS: register or remove an event; EINVAL, EFAULT, EBADF (VFIO-13).

        ``fd`` is the event: an EventFd, -1 to remove, a number that is not open, another object.
        """
        if isinstance(argsz, BadPointer):
            raise _fault()
        if argsz < SET_IRQS_SIZE or not 0 <= index < IRQS or start != 0 or count > 1 or flags & ~_KNOWN_FLAGS:
            raise BadValue(f"argsz {argsz}, index {index}, start {start}, count {count}, flags {flags:#x}")
        if flags != DATA_EVENTFD | ACTION_TRIGGER:
            raise BadValue("only an eventfd that is triggered can be set")
        if count and argsz < SET_IRQS_SIZE + 4:
            raise BadValue("the eventfd is missing after the structure")
        if isinstance(fd, BadPointer):
            raise _fault()
        event = self._event(fd)
        with self._kernel, self.mdev.module.mdevs_lock:
            if index == REQUEST_IRQ:
                self.mdev.request_event = event
            else:
                self.mdev.config_event = event

    @staticmethod
    def _event(fd: object) -> EventFd | None:
        if isinstance(fd, EventFd):
            return fd
        if not isinstance(fd, int):
            raise BadValue("the file is not an eventfd")
        if fd == -1:
            return None
        if fd < 0:
            raise BadValue(f"{fd} is not a file descriptor")
        raise Failed(f"file descriptor {fd} is not open", number=errno.EBADF)

    def listen(self, request: EventFd | None = None, config: EventFd | None = None) -> None:
        """Set both events; None removes one."""
        self.set_irqs(REQUEST_IRQ, -1 if request is None else request)
        self.set_irqs(CONFIG_IRQ, -1 if config is None else config)

    def reset(self) -> None:
        """VFIO_DEVICE_RESET: zeroize the linked queues; EIO if one could not be reset (MTX-71)."""
        mdev = self.mdev
        with self._kernel, mdev.module.guests_lock, mdev.module.mdevs_lock:
            if not mdev.module.reset(sorted(mdev.queues.values(), key=lambda queue: queue.apqn)):
                raise Failed(f"not every queue of mdev {mdev.name} could be reset", number=errno.EIO)

    def ioctl(self, number: int) -> None:
        """Refuse any other ioctl: ENOTTY or EOPNOTSUPP (VFIO-14)."""
        if number == DEVICE_FEATURE:
            raise Failed("there are no device features", number=errno.ENOTTY)
        raise Failed(f"ioctl {number:#x} is not supported", number=errno.EOPNOTSUPP)

    def get_region_info(self, index: int) -> None:
        """There are no regions: EINVAL (VFIO-14)."""
        raise BadValue(f"there is no region {index}")

    def read(self, _length: int) -> bytes:
        """The device cannot be read: EINVAL (VFIO-14)."""
        raise BadValue("the device cannot be read")

    def write(self, _data: bytes) -> int:
        """The device cannot be written: EINVAL (VFIO-14)."""
        raise BadValue("the device cannot be written")

    def mmap(self, _length: int) -> None:
        """The device cannot be mapped: EINVAL (VFIO-14)."""
        raise BadValue("the device cannot be mapped")

    def close(self) -> None:
        """Close the file; the last close takes the AP resources from the guest (VFIO-4). Idempotent."""
        if self.closed:
            return
        self.closed = True
        mdev = self.mdev
        with self._kernel:
            mdev.opens -= 1
            if mdev.opens == 0:
                self._release()
            self._kernel.wake()

    def _release(self) -> None:
        mdev = self.mdev
        module, vm = mdev.module, mdev.vm
        assert vm is not None
        vm.pqap_hook = None
        with module.guests_lock, module.mdevs_lock:
            vm.level.set_matrix(EMPTY_MATRIX)
            module.reset(sorted(mdev.queues.values(), key=lambda queue: queue.apqn))
            mdev.vm = None
            module.policy.closed(mdev)
