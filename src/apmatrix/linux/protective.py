"""The policy ``protective``: nothing is lost silently (host.md section 11, as far as it concerns one host).

Every refusal names the queues, their holder and the remedy, in the error and in the kernel log.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, ClassVar

from apmatrix.arch import EMPTY_MATRIX, Mask, Matrix, ResponseCode
from apmatrix.arch.status import NOT_AVAILABLE
from apmatrix.linux.policy import LinuxPolicy
from apmatrix.linux.vfio_ap.driver import VfioApDriver
from apmatrix.rules.findings import Holder
from apmatrix.rules.refusals import BadValue, Failed, InUse, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apmatrix.arch import Apqn, Registers
    from apmatrix.linux.ap.ap_queue import ApQueue
    from apmatrix.linux.ap.bus import ApBus
    from apmatrix.linux.core import KernelLog
    from apmatrix.linux.vfio_ap.mdev import MatrixMdev
    from apmatrix.linux.vfio_ap.module import VfioAp
    from apmatrix.linux.vfio_ap.vfio_queue import VfioQueue
    from apmatrix.rules.claims import Conflict
    from apmatrix.rules.handover import Obstacle

PATIENCE = 10.0
"""Seconds to wait before giving up on a reset."""

_FULL_MASK = "0x[0-9a-f]{64}"
_FULL_CONFIG = re.compile(f"{_FULL_MASK},{_FULL_MASK},{_FULL_MASK}\n?")
_FULL_ABSOLUTE = re.compile(f"{_FULL_MASK}\n?")

_GOOD_ENDS = (ResponseCode.NORMAL, ResponseCode.DECONFIGURED, ResponseCode.CHECKSTOPPED)


class ProtectivePolicy(LinuxPolicy):
    """Refuses what Linux would silently allow, and repairs what it would leave broken."""

    name: ClassVar[str] = "protective"
    explains: ClassVar[bool] = True
    longest_matrix: ClassVar[int | None] = None

    def __init__(self, log: KernelLog) -> None:
        super().__init__(log)
        self._reset_codes: dict[Apqn, ResponseCode] = {}

    def _refuse(self, refusal: InUse) -> InUse:
        self.log.warning(f"ap: {refusal}")
        return refusal

    # the bus

    def check_unbind(self, queue: ApQueue) -> None:
        """A queue that an mdev holds stays bound to vfio_ap (limitation 1)."""
        holder = _holder(queue)
        if holder is not None and queue.driver is not None and queue.driver.name == "vfio_ap":
            raise self._refuse(
                InUse(
                    f"queue {queue.apqn} cannot be unbound from vfio_ap: mdev {holder.name} has it",
                    apqns=(queue.apqn,),
                    holder=Holder("mdev", uuid=holder.name),
                    remedy="unassign its adapter or domain there first",
                )
            )

    def check_override(self, queue: ApQueue, driver: str | None) -> None:
        """A queue that an mdev holds cannot be promised to another driver (limitation 1)."""
        holder = _holder(queue)
        if holder is not None and driver != "vfio_ap":
            raise self._refuse(
                InUse(
                    f"queue {queue.apqn} cannot be given to {driver or 'the host'}: mdev {holder.name} has it",
                    apqns=(queue.apqn,),
                    holder=Holder("mdev", uuid=holder.name),
                    remedy="unassign its adapter or domain there first",
                )
            )

    def check_mask_text(self, name: str, text: str) -> None:
        """An absolute mask must be complete: no empty lines, no decimal numbers taken for digits (limitation 8)."""
        if text[:1] not in ("+", "-") and not _FULL_ABSOLUTE.fullmatch(text):
            raise BadValue(
                f"{quoted(text)} is not a full value for {name}",
                remedy="write 0x and 64 hexadecimal digits, or terms such as +5,-6",
            )

    def considered(self, other_mask: Mask) -> Mask:
        """Count only queues that would really move (limitation 6)."""
        return other_mask

    def resets_new_queue(self, queue: ApQueue) -> bool:
        """Reset only queues of the host's own driver (limitation 11)."""
        return queue.driver is not None and queue.driver.name == "cex4queue"

    def queue_removed(self, queue: ApQueue) -> None:
        """A removed queue no longer counts as overridden, so the masks can be written again (limitation 7)."""
        if queue.override:
            queue.bus.override_count -= 1

    def scanned(self, bus: ApBus) -> None:
        """Retry failed resets, and give guests what has become usable (limitations 2, 3)."""
        module = _vfio_ap(bus)
        if module is None:
            return
        with module.guests_lock, module.mdevs_lock:
            for mdev in module.newest_first():
                module.reset([queue for queue in mdev.queues.values() if not queue.passable])
                module.refilter(mdev)

    # KVM

    def store_no_hook(self, registers: Registers) -> None:
        """Store the status where the guest reads it (limitation 11)."""
        registers.gr[1] = NOT_AVAILABLE.value

    # vfio_ap

    def host_matrix(self, module: VfioAp) -> Matrix:
        """Without QCI any number may exist: what counts is which queues are bound (limitation 11)."""
        return module.info.matrix if module.info.flags else module.limits()

    def check_assignment(self, mdev: MatrixMdev, new: Matrix) -> None:
        """A running guest keeps its working adapters (limitation 2)."""
        module = mdev.module
        if mdev.vm is None:
            return
        obstacles = module.obstacles(new)
        lost = mdev.guest.apm & new.apm & Mask.of(*obstacles)
        if lost:
            adapter = next(iter(lost))
            raise self._refuse(
                InUse(
                    f"the running guest {mdev.vm.name} of mdev {mdev.name} would lose adapter {adapter}: "
                    f"{obstacles[adapter]}",
                    holder=Holder("guest", mdev.vm.name, mdev.name),
                    remedy="bind that queue to vfio_ap first, or choose another adapter or domain",
                )
            )

    def check_ap_config_text(self, text: str) -> None:
        """Require three full masks (limitation 8)."""
        if not _FULL_CONFIG.fullmatch(text):
            raise BadValue(
                f"{quoted(text)} is not a full ap_config",
                remedy="write three masks of 0x and 64 hexadecimal digits with commas between them",
            )

    def replace_matrix(self, mdev: MatrixMdev, new: Matrix) -> bool:
        """Replace the matrix in one step, so that a running guest sees a single change (limitation 10)."""
        module = mdev.module
        had = [queue for queue in mdev.linked(mdev.matrix) if queue.apqn in mdev.guest]
        for apqn in tuple(mdev.queues):
            if apqn not in new:
                mdev.queues.pop(apqn).mdev = None
        module.set_matrix(mdev, new)
        changed, _ = module.filter(mdev)
        changed = module.filter_control_domains(mdev) or changed
        if changed:
            module.update_guest(mdev)
        module.reset([queue for queue in had if queue.apqn not in mdev.guest])
        return True

    def unassigned(self, mdev: MatrixMdev) -> None:
        """Return an adapter that has become usable to its guest (limitation 3)."""
        mdev.module.refilter(mdev)

    def check_remove(self, mdev: MatrixMdev) -> None:
        """Refuse to remove an mdev that a guest has (limitation 11)."""
        if mdev.vm is not None:
            raise self._refuse(
                InUse(
                    f"mdev {mdev.name} cannot be removed: guest {mdev.vm.name} has it",
                    apqns=mdev.guest.apqns(),
                    holder=Holder("guest", mdev.vm.name, mdev.name),
                    remedy="detach it from the guest first",
                )
            )

    def check_open(self, mdev: MatrixMdev, limits: Matrix) -> None:
        """Refuse a VM whose control block has no room for the whole mdev (limitation 11)."""
        beyond = mdev.matrix - limits
        if beyond != EMPTY_MATRIX:
            raise Failed(
                f"the VM's control block has no room for {beyond.describe()} of mdev {mdev.name}",
                remedy="give the VM a CPU model with facility 76, or unassign them",
                number=errno.EINVAL,
            )

    def closed(self, mdev: MatrixMdev) -> None:
        """Drop the event fds, so that changes for the next user do not signal the last one (limitation 11).

        The next user does not get the queues that could not be reset, with what is in them (limitation 9).
        """
        mdev.request_event = mdev.config_event = None
        mdev.module.filter(mdev)

    def interrupt_queue(self, mdev: MatrixMdev, apqn: Apqn) -> VfioQueue | None:
        """A queue that the guest does not have is not available to it (limitation 11)."""
        return mdev.queues.get(apqn) if apqn in mdev.guest else None

    def gives_up(self, waiting: Sequence[VfioQueue], waited: float) -> bool:
        """Give up on stuck queues after ``PATIENCE`` seconds: they must not block all of vfio_ap (limitation 9)."""
        if waited < PATIENCE:
            return False
        for queue in waiting:
            self.log.error(f"vfio_ap: reset of queue {queue.apqn} given up after {waited:.1f} s")
            queue.reset_code = ResponseCode.RESET_IN_PROGRESS
        return True

    def reported(self, conflicts: list[Conflict[MatrixMdev]]) -> list[Conflict[MatrixMdev]]:
        """Report all conflicts (limitation 5)."""
        return conflicts

    def host_queues_refused(self, mdev: MatrixMdev, apqns: Sequence[Apqn]) -> None:
        """Say which queues are the host's (limitation 5)."""
        for apqn in apqns:
            self.log.warning(
                f"{mdev.log_prefix()}Userspace may not assign queue {apqn} to mdev: reserved for host drivers"
            )

    def filtered(self, mdev: MatrixMdev, obstacles: dict[int, Obstacle]) -> None:
        """Say why a guest does not get an adapter (limitation 5)."""
        for adapter, obstacle in obstacles.items():
            if adapter in mdev.guest.apm or mdev.obstacles.get(adapter) != obstacle:
                self.log.warning(f"{mdev.log_prefix()}adapter {adapter} is kept from the guest: {obstacle}")

    def control_domains_assigned(self, mdev: MatrixMdev, domains: Mask) -> None:
        """Log which other mdevs control the same domain (limitation 12)."""
        for other in mdev.module.newest_first():
            shared = other.matrix.adm & domains
            if other is not mdev and shared:
                self.log.info(
                    f"{mdev.log_prefix()}control domain {shared.ranges()} is controlled by mdev {other.name} too"
                )

    def bound(self, queue: VfioQueue) -> None:
        """A queue that could not be reset stays away from guests though it was unbound meanwhile (limitation 9)."""
        queue.reset_code = self._reset_codes.get(queue.apqn, queue.reset_code)

    def reset_ended(self, queue: VfioQueue) -> None:
        """Log that a reset for a guest failed, which nothing else shows, and remember it (limitation 9)."""
        self._reset_codes[queue.apqn] = queue.reset_code
        if queue.reset_code not in _GOOD_ENDS:
            self.log.error(
                f"vfio_ap: queue {queue.apqn} could not be reset (response code {queue.reset_code:02x}): "
                f"no guest gets it until a later scan succeeds"
            )


def _vfio_ap(bus: ApBus) -> VfioAp | None:
    """The vfio_ap module, if it is loaded: its driver is then on the bus."""
    driver = bus.drivers.get("vfio_ap")
    return driver.module if isinstance(driver, VfioApDriver) else None


def _holder(queue: ApQueue) -> MatrixMdev | None:
    """The mdev that a queue is assigned to."""
    module = _vfio_ap(queue.bus)
    return module.claims.owner(queue.apqn) if module else None
