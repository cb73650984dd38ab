"""Assigning and unassigning: adapters, domains, control domains, whole matrices (host.md 3.4 to 3.9).

A write names a change: a matrix with one bit. Assigning it is ``matrix | change``, unassigning it
``matrix - change``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from apmatrix.arch import EMPTY_MATRIX, Mask, Matrix
from apmatrix.arch.matrix import queues_named
from apmatrix.rules.findings import Holder
from apmatrix.rules.refusals import HostQueue, NoDevice, SharedQueue
from apmatrix.rules.text import parse_ap_config, strict_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.linux.vfio_ap.mdev import MatrixMdev
    from apmatrix.linux.vfio_ap.module import VfioAp

Change = Callable[[str, Matrix], Matrix]
"""Reads what a write names; NoDevice beyond the limits."""


def adapter(text: str, limits: Matrix) -> Matrix:
    """The adapter that a write names."""
    return Matrix(apm=_bit(text, limits.apm, "adapter"))


def usage_domain(text: str, limits: Matrix) -> Matrix:
    """The usage domain that a write names."""
    return Matrix(aqm=_bit(text, limits.aqm, "domain"))


def control_domain(text: str, limits: Matrix) -> Matrix:
    """The control domain that a write names."""
    return Matrix(adm=_bit(text, limits.adm, "control domain"))


def _bit(text: str, limits: Mask, kind: str) -> Mask:
    number = strict_number(text)
    if number not in limits:
        raise NoDevice(f"there is no {kind} {number}", remedy=f"{kind}s go from 0 to {len(limits) - 1}")
    return Mask.of(number)


@contextmanager
def _locked(module: VfioAp, *, with_masks: bool) -> Iterator[None]:
    """Hold the locks of MTX-5; the attribute mutex only where the bus masks matter."""
    if with_masks:
        module.bus.attribute_mutex.acquire()
    try:
        with module.guests_lock, module.mdevs_lock:
            yield
    finally:
        if with_masks:
            module.bus.attribute_mutex.release()


# adapters and usage domains


def assign(mdev: MatrixMdev, named: Change, text: str) -> None:
    """Assign an adapter or a usage domain, and give the guest what is usable of it (MTX-20, MTX-25)."""
    module = mdev.module
    with _locked(module, with_masks=True):
        change = named(text, mdev.limits)
        if change <= mdev.matrix:
            return
        new = mdev.matrix | change
        validate(mdev, new)
        module.policy.check_assignment(mdev, new)
        module.set_matrix(mdev, new)
        module.refilter(mdev)


def unassign(mdev: MatrixMdev, named: Change, text: str) -> None:
    """Unassign an adapter or a usage domain; never refused, even with a running guest (MTX-30)."""
    module = mdev.module
    with _locked(module, with_masks=False):
        change, old = named(text, mdev.limits), mdev.matrix
        if not change <= old:
            return
        module.set_matrix(mdev, old - change)
        _unplug(mdev, old, change)
        module.policy.unassigned(mdev)


def _unplug(mdev: MatrixMdev, old: Matrix, change: Matrix) -> None:
    """Take adapters, or usage domains, of ``old`` from the mdev and its guest; reset the queues that it had."""
    unlinked = mdev.linked(Matrix(change.apm or old.apm, change.aqm or old.aqm))
    had = [queue for queue in unlinked if queue.apqn in mdev.guest]
    for queue in unlinked:
        del mdev.queues[queue.apqn]
    before = mdev.guest
    mdev.guest = before - change
    if mdev.guest != before:
        mdev.module.update_guest(mdev)
    mdev.module.reset(had)
    for queue in unlinked:
        queue.mdev = None


def validate(mdev: MatrixMdev, new: Matrix) -> None:
    """Raise HostQueue if an APQN of ``new`` is the host's, SharedQueue if one is another mdev's (MTX-21)."""
    module = mdev.module
    hosts = module.bus.ownership.host_queues(new)
    if hosts:
        module.policy.host_queues_refused(mdev, hosts)
        raise HostQueue(
            f"{queues_named(hosts)} cannot be assigned to mdev {mdev.name}: reserved for the host's drivers",
            apqns=hosts,
            holder=Holder("host"),
            remedy="take the adapter out of apmask or the domain out of aqmask first",
        )
    conflicts = module.conflicts(mdev, new)
    if conflicts:
        for conflict in module.policy.reported(conflicts):
            for apqn in conflict.apqns:
                module.host.log.warning(
                    f"{mdev.log_prefix()}Userspace may not assign queue {apqn} to mdev: "
                    f"already assigned to {conflict.holder.name}"
                )
        apqns, other = conflicts[0].apqns, conflicts[0].holder
        raise SharedQueue(
            f"{queues_named(apqns)} cannot be assigned to mdev {mdev.name}: "
            f"mdev {other.name} has {'it' if len(apqns) == 1 else 'them'}",
            apqns=apqns,
            holder=Holder("mdev", uuid=other.name),
            remedy="unassign it there, or choose another adapter or domain",
        )


# control domains


def assign_control_domain(mdev: MatrixMdev, text: str) -> None:
    """Assign a control domain; any number of mdevs may control it (MTX-35)."""
    module = mdev.module
    with _locked(module, with_masks=False):
        change = control_domain(text, mdev.limits)
        if change <= mdev.matrix:
            return
        mdev.assign(mdev.matrix | change)
        module.policy.control_domains_assigned(mdev, change.adm)
        if module.filter_control_domains(mdev):
            module.update_guest(mdev)


def unassign_control_domain(mdev: MatrixMdev, text: str) -> None:
    """Unassign a control domain, even with a running guest (MTX-36)."""
    module = mdev.module
    with _locked(module, with_masks=False):
        change = control_domain(text, mdev.limits)
        if not change <= mdev.matrix:
            return
        mdev.assign(mdev.matrix - change)
        before = mdev.guest
        mdev.guest = before - change
        if mdev.guest != before:
            module.update_guest(mdev)


# everything at once


def configure(mdev: MatrixMdev, text: str) -> None:
    """Give the mdev the three masks of an ``ap_config`` (MTX-46 to MTX-49)."""
    module = mdev.module
    with _locked(module, with_masks=True):
        module.policy.check_ap_config_text(text)
        new = parse_ap_config(text)
        validate(mdev, new)
        beyond = new - mdev.limits
        if beyond != EMPTY_MATRIX:
            raise NoDevice(f"there are no {beyond.describe()} on this system")
        module.policy.check_assignment(mdev, new)
        if not module.policy.replace_matrix(mdev, new):
            _replace_in_steps(mdev, new)


def _replace_in_steps(mdev: MatrixMdev, new: Matrix) -> None:
    """Remove adapters first, then domains, then add what is new: up to three guest updates (MTX-48)."""
    module, old = mdev.module, mdev.matrix
    missing = old - new
    if missing.apm:
        _unplug(mdev, old, Matrix(apm=missing.apm))
    if missing.aqm:
        _unplug(mdev, old, Matrix(aqm=missing.aqm))
    module.set_matrix(mdev, new)
    changed, lost = module.filter(mdev)
    changed = module.filter_control_domains(mdev) or changed
    if changed:
        module.update_guest(mdev)
        module.reset_adapters(mdev, lost)
