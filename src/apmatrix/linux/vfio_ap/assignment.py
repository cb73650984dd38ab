"""Assigning and unassigning: adapters, domains, control domains, whole matrices (host.md 3.4 to 3.9)."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, cast

from apmatrix.arch import EMPTY_MATRIX, NO_BITS, Mask, Matrix
from apmatrix.arch.matrix import queues_named
from apmatrix.rules.refusals import HostQueue, NoDevice, SharedQueue
from apmatrix.rules.text import parse_ap_config, strict_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.linux.vfio_ap.mdev import MatrixMdev
    from apmatrix.linux.vfio_ap.module import VfioAp

Which = Literal["apm", "aqm"]
NAMES = {"apm": "adapter", "aqm": "domain", "adm": "control domain"}


class Assignment:
    """What writes to an mdev's attributes do."""

    def __init__(self, module: VfioAp) -> None:
        self._module = module
        self._policy = module.policy

    @contextmanager
    def _locked(self, *, with_masks: bool) -> Iterator[None]:
        """The locks of MTX-5; the attribute mutex only where the bus masks matter."""
        module = self._module
        if with_masks:
            module.bus.attribute_mutex.acquire()
        try:
            with module.guests_lock, module.mdevs_lock:
                yield
        finally:
            if with_masks:
                module.bus.attribute_mutex.release()

    def _number(self, mdev: MatrixMdev, which: str, content: str) -> int:
        """The number of a write, at most the mdev's limit."""
        number = strict_number(content)
        limits = cast("Mask", getattr(mdev.limits, which))
        if number not in limits:
            raise NoDevice(
                f"there is no {NAMES[which]} {number}", remedy=f"{NAMES[which]}s go from 0 to {len(limits) - 1}"
            )
        return number

    # adapters and usage domains

    def assign(self, mdev: MatrixMdev, which: Which, content: str) -> None:
        """MTX-20, MTX-25."""
        with self._locked(with_masks=True):
            bit = Mask.of(self._number(mdev, which, content))
            present: Mask = getattr(mdev.matrix, which)
            if bit <= present:
                return
            new = replace(mdev.matrix, **{which: present | bit})
            self.validate(mdev, new)
            self._policy.check_assignment(mdev, new)
            self._module.set_matrix(mdev, new)
            self._module.refilter(mdev)

    def unassign(self, mdev: MatrixMdev, which: Which, content: str) -> None:
        """MTX-30: never refused, also with a running guest."""
        with self._locked(with_masks=False):
            bit = Mask.of(self._number(mdev, which, content))
            present: Mask = getattr(mdev.matrix, which)
            if not bit <= present:
                return
            gone = replace(mdev.matrix, **{which: bit})
            self._module.set_matrix(mdev, replace(mdev.matrix, **{which: present - bit}))
            self.unplug(mdev, which, gone)
            self._policy.unassigned(mdev)

    def unplug(self, mdev: MatrixMdev, which: Which, gone: Matrix) -> None:
        """Take the queues of ``gone`` from the mdev and its guest, and reset those that the guest had."""
        had = mdev.linked(gone & replace(mdev.guest, adm=NO_BITS))
        unlinked = mdev.linked(gone)
        for queue in unlinked:
            del mdev.queues[queue.apqn]
        before = mdev.guest
        mask: Mask = getattr(before, which)
        mdev.guest = replace(before, **{which: mask - cast("Mask", getattr(gone, which))})
        if mdev.guest != before:
            self._module.update_guest(mdev)
        self._module.reset(had)
        for queue in unlinked:
            queue.mdev = None

    def validate(self, mdev: MatrixMdev, new: Matrix) -> None:
        """MTX-21: no APQN of ``new`` may be the host's, and none another mdev's."""
        hosts = self._module.bus.ownership.host_queues(new)
        if hosts:
            self._policy.host_queues_refused(mdev, hosts)
            raise HostQueue(
                f"{queues_named(hosts)} cannot be assigned to mdev {mdev.name}: reserved for the host's drivers",
                apqns=hosts,
                holder="the host",
                remedy="take the adapter out of apmask or the domain out of aqmask first",
            )
        conflicts = self._module.conflicts(mdev, new)
        if conflicts:
            apqns, other = conflicts[0].apqns, conflicts[0].holder
            for conflict in conflicts if self._policy.blames_everyone else conflicts[:1]:
                for apqn in conflict.apqns:
                    self._module.host.log.warning(
                        f"{mdev.log_prefix()}Userspace may not assign queue {apqn} to mdev: "
                        f"already assigned to {conflict.holder.name}"
                    )
            raise SharedQueue(
                f"{queues_named(apqns)} cannot be assigned to mdev {mdev.name}: "
                f"mdev {other.name} has {'it' if len(apqns) == 1 else 'them'}",
                apqns=apqns,
                holder=other.name,
                remedy="unassign it there, or choose another adapter or domain",
            )

    # control domains

    def assign_control_domain(self, mdev: MatrixMdev, content: str) -> None:
        """MTX-35: any number of mdevs may control a domain."""
        with self._locked(with_masks=False):
            bit = Mask.of(self._number(mdev, "adm", content))
            if bit <= mdev.matrix.adm:
                return
            mdev.matrix = replace(mdev.matrix, adm=mdev.matrix.adm | bit)
            self._policy.control_domains_assigned(mdev, bit)
            if self._module.filter_control_domains(mdev):
                self._module.update_guest(mdev)

    def unassign_control_domain(self, mdev: MatrixMdev, content: str) -> None:
        """MTX-36."""
        with self._locked(with_masks=False):
            bit = Mask.of(self._number(mdev, "adm", content))
            if not bit <= mdev.matrix.adm:
                return
            mdev.matrix = replace(mdev.matrix, adm=mdev.matrix.adm - bit)
            if bit.overlaps(mdev.guest.adm):
                mdev.guest = replace(mdev.guest, adm=mdev.guest.adm - bit)
                self._module.update_guest(mdev)

    # everything at once

    def configure(self, mdev: MatrixMdev, content: str) -> None:
        """Write ``ap_config`` (MTX-46 to MTX-49)."""
        with self._locked(with_masks=True):
            self._policy.check_ap_config_text(content)
            new = parse_ap_config(content)
            old = mdev.matrix
            self.validate(mdev, new)
            beyond = new - mdev.limits
            if beyond != EMPTY_MATRIX:
                raise NoDevice(f"there are no {beyond.describe()} on this system")
            self._policy.check_assignment(mdev, new)
            if self._policy.replace_matrix(mdev, new):
                return
            self._unplug_missing(mdev, old, new)
            self._module.set_matrix(mdev, new)
            changed, filtered = self._module.filter(mdev)
            changed = self._module.filter_control_domains(mdev) or changed
            if changed:
                self._module.update_guest(mdev)
                self._module.reset_adapters(mdev, filtered)

    def _unplug_missing(self, mdev: MatrixMdev, old: Matrix, new: Matrix) -> None:
        """MTX-48: the removed adapters first, then the removed domains, each with its own guest update."""
        adapters, domains = old.apm - new.apm, old.aqm - new.aqm
        if adapters:
            self.unplug(mdev, "apm", Matrix(adapters, old.aqm))
        if domains:
            self.unplug(mdev, "aqm", Matrix(old.apm, domains))
