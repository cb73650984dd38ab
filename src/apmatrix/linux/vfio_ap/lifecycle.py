"""Creation and removal of mdevs (host.md 3.2)."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from apmatrix.arch import EMPTY_MATRIX
from apmatrix.arch.events import MdevCreated, MdevRemoved
from apmatrix.linux.core import ChangeKind, Link, Task, Written
from apmatrix.linux.vfio_ap.mdev import MatrixMdev
from apmatrix.linux.vfio_ap.vfio import Vfio
from apmatrix.rules.findings import Holder
from apmatrix.rules.refusals import BadValue, Exists, Failed, NoDevice, Refused, quoted
from apmatrix.rules.text import strict_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.linux.vfio_ap.module import VfioAp

MOST_MDEVS = 65536
REQUEST_INTERVAL = 10.0
"""Seconds between two requests to a guest to give its device back (VFIO-20)."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
UUID_LENGTH = 36


class Lifecycle:
    """Creates and removes mdevs. ``mdevs`` holds all that exist, oldest first, including those being removed."""

    def __init__(self, module: VfioAp) -> None:
        self._module = module
        self._host = module.host
        self._sequence = 0
        self.mdevs: dict[str, MatrixMdev] = {}
        self.vfio = Vfio(module.host)

    @property
    def available(self) -> int:
        """How many more mdevs can be created."""
        return MOST_MDEVS - len(self.mdevs)

    def find(self, uuid: str) -> MatrixMdev:
        """The mdev of that UUID; NoDevice if there is none, or it is being removed."""
        mdev = self.mdevs.get(uuid.lower())
        if mdev is None or mdev.removing or mdev.driver is None:
            raise NoDevice(f"there is no mdev {uuid}")
        return mdev

    # creation

    def create(self, raw: bytes) -> MatrixMdev:
        """Create the mdev whose UUID was written to ``create`` (MTX-11)."""
        uuid = raw[:UUID_LENGTH].decode("latin-1")
        if len(raw) not in (UUID_LENGTH, UUID_LENGTH + 1) or not _UUID.fullmatch(uuid):
            raise BadValue(
                f"{quoted(raw.decode('latin-1'))} is not a UUID", remedy="write 36 characters as uuidgen makes them"
            )
        name = uuid.lower()
        if name in self.mdevs:
            raise Exists(
                f"mdev {name} already exists", holder=Holder("mdev", uuid=name), remedy="choose another UUID"
            )
        if not self.available:
            raise Failed(f"there are already {MOST_MDEVS} mdevs", number=errno.EUSERS)
        return self._create(name)

    def _create(self, name: str) -> MatrixMdev:
        module = self._module
        self._sequence += 1
        mdev = MatrixMdev(module, name, self._sequence)
        with module.mdevs_lock:
            self.mdevs[name] = mdev
            module.claims.set(mdev, EMPTY_MATRIX)
        module.mdev_bus.add_device(mdev, module.matrix_device)
        module.mdev_bus.bind(module.mdev_driver, mdev)
        module.type_devices.add_child(name, Link(mdev.path))
        self._host.machine.announce(MdevCreated(self._host.level.path, name))
        return mdev

    # removal

    def remove_by_write(self, mdev: MatrixMdev, value: Written) -> None:
        """Handle a write to ``remove``: 0 does nothing, any other number removes the mdev (MTX-12)."""
        try:
            wanted = strict_number(value.text)
        except Refused as refused:
            raise BadValue(str(refused)) from refused
        if wanted:
            self.remove(mdev, value.task)

    def remove(self, mdev: MatrixMdev, task: Task | None = None) -> None:
        """Remove an mdev; while a guest has it, ask for it and wait."""
        if mdev.removing:
            raise Failed(f"mdev {mdev.name} is already being removed", number=errno.EAGAIN)
        self._module.policy.check_remove(mdev)
        self._hide(mdev)
        self._await_release(mdev, task or Task())
        self._destroy(mdev)

    def _hide(self, mdev: MatrixMdev) -> None:
        """Remove the attributes first: the mdev can no longer be reached."""
        module = self._module
        before = tuple(mdev.names())
        mdev.removing = True
        gone = [name for name in before if mdev.lookup(name) is None]
        for name in gone:
            mdev.entry_changed(ChangeKind.REMOVED, name)
        module.type_devices.remove_child(mdev.name)
        del module.mdev_bus.devices[mdev.name]
        if module.host.sysfs.watched:
            module.host.sysfs.changed(ChangeKind.REMOVED, f"{module.mdev_bus.path}/devices", mdev.name)

    def _await_release(self, mdev: MatrixMdev, task: Task) -> None:
        """Request the device now and every ten seconds; a signal only changes what is logged (VFIO-20)."""
        kernel = self._host.kernel
        count = 0
        interruptible = True
        while mdev.opens:
            self._request(mdev, count)
            count += 1
            kernel.wait_until(_until_closed(mdev, task if interruptible else None), REQUEST_INTERVAL)
            if mdev.opens and task.signalled and interruptible:
                interruptible = False
                self._host.log.warning(
                    f'{mdev.log_prefix()}Device is currently in use, task "{task.comm}" ({task.pid}) blocked '
                    f"until device is released"
                )

    def _request(self, mdev: MatrixMdev, count: int) -> None:
        """Clear the guest's masks and ask the VMM to close the device."""
        module = self._module
        with module.guests_lock, module.mdevs_lock:
            if mdev.vm is not None:
                mdev.vm.level.set_matrix(EMPTY_MATRIX)
                if mdev.config_event:
                    mdev.config_event.signal()
            if mdev.request_event:
                if count % 10 == 0:
                    self._host.log.info(f"{mdev.log_prefix()}Relaying device request to user (#{count})")
                mdev.request_event.signal()
            elif count == 0:
                self._host.log.info(
                    f"{mdev.log_prefix()}No device request registered, blocked until released by user"
                )

    def let_go(self, mdev: MatrixMdev) -> None:
        """Wait until no guest has the mdev, then reset its queues and clear the assignment (MTX-13)."""
        module = self._module
        self._module.policy.check_remove(mdev)
        self._await_release(mdev, Task())
        self.vfio.unregister(mdev)
        with module.guests_lock, module.mdevs_lock:
            module.reset(sorted(mdev.queues.values(), key=lambda queue: queue.apqn))
            for queue in mdev.queues.values():
                queue.mdev = None
            mdev.queues.clear()
            module.set_matrix(mdev, EMPTY_MATRIX)
            mdev.guest = mdev.pending = EMPTY_MATRIX

    def _destroy(self, mdev: MatrixMdev) -> None:
        """Unbind the mdev, then remove the device."""
        module = self._module
        module.mdev_bus.release(mdev)
        with module.mdevs_lock:
            del self.mdevs[mdev.name]
            module.claims.drop(mdev)
        mdev.alive = False
        mdev.uevent("remove")
        module.matrix_device.remove_child(mdev.name)
        self._host.machine.announce(MdevRemoved(self._host.level.path, mdev.name))

    def check_idle(self) -> None:
        """Refused (EAGAIN) while a guest has an mdev (MTX-93)."""
        for mdev in self.mdevs.values():
            if mdev.opens:
                raise Failed(
                    f"vfio_ap is in use: a guest has mdev {mdev.name}",
                    holder=Holder("mdev", uuid=mdev.name),
                    remedy="stop the guest first",
                    number=errno.EAGAIN,
                )


def _until_closed(mdev: MatrixMdev, task: Task | None) -> Callable[[], bool]:
    return lambda: not mdev.opens or (task is not None and task.signalled)
