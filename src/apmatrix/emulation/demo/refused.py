"""Part five: what a host refuses its administrator, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError, Mask
from apmatrix.emulation.views import look
from apmatrix.hosts import Shell
from apmatrix.hosts.facts import MATRIX, MDEV_TYPE, assigned_matrix, queue_drivers
from apmatrix.machine import ActivationProfile
from apmatrix.rules.ownership import GUEST_DRIVER, HOST_DRIVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.arch import Apqn
    from apmatrix.emulation.bringup import Emulation, Guest, System
    from apmatrix.emulation.demo.report import Report

SCRATCH = "00000000-0000-4000-8000-00000000dead"
"""An mdev that is created only to be refused things, and is removed again."""


@dataclass(frozen=True)
class RefusedWrite:
    """A write that must be refused; ``before`` are writes that make it possible."""

    what: str
    path: str
    text: str
    error: str
    before: tuple[tuple[str, str], ...] = ()


def try_what_is_refused(emulation: Emulation, report: Report) -> int:
    """Try what hosts refuse, and explain each answer; returns the number of refusals."""
    report.section("What is refused, and why")
    for refusal in emulation.refusals:
        report.line(f"from the file: {refusal}")
    host = max(emulation.lpars, key=lambda system: len(system.guests), default=None)
    refusals = len(emulation.refusals)
    if host is None:
        return refusals
    before = _state(emulation, host)
    shell = Shell(host.name, host.shell.tree)
    shell.mdevs = {**host.shell.mdevs, SCRATCH: "a new mdev"}
    if host.linux.vfio_ap is not None:
        refusals += sum(_try(shell, attempt, report) for attempt in _attempts(host))
    refusals += _second_profile(emulation, host, report)
    report.check("nothing changed by all that", passed=_state(emulation, host) == before)
    return refusals


def _state(emulation: Emulation, host: System) -> object:
    """Everything that the attempts could change."""
    return look(emulation), host.shell.mask("apmask"), host.shell.mask("aqmask")


def _try(shell: Shell, attempt: RefusedWrite, report: Report) -> bool:
    """Make one attempt on a scratch mdev; True if it was refused as expected."""
    shell.write(f"{MDEV_TYPE}/create", SCRATCH)
    for path, text in attempt.before:
        shell.write(path, text)
    refusal = shell.write(attempt.path, attempt.text)
    shell.write(f"{MATRIX}/{SCRATCH}/remove", "1")
    answer = refusal.error if refusal else "no error"
    report.check(f"{answer:13} {attempt.what}", passed=answer == attempt.error)
    if refusal:
        report.line(f"        {refusal.action}: {refusal.reason}")
    return answer == attempt.error


def _attempts(host: System) -> Iterator[RefusedWrite]:
    """What can be tried on this host, with the errno that Linux gives (host.md section 7)."""
    mdev = f"{MATRIX}/{SCRATCH}"
    adapter = f"{mdev}/assign_adapter"
    highest = int(host.shell.read("bus/ap/ap_max_adapter_id"))
    yield from _taken(host, mdev)
    yield from _host_owned(host, mdev)
    yield RefusedWrite("an adapter that cannot exist", adapter, str(highest + 1), "ENODEV")
    yield RefusedWrite("a text that is not a number", adapter, "five", "EINVAL")
    yield RefusedWrite("a number of 2^64", adapter, str(1 << 64), "ERANGE")
    yield RefusedWrite("a mask bit that cannot exist", "bus/ap/apmask", "+256", "EINVAL")
    yield RefusedWrite("an mdev with a name in use", f"{MDEV_TYPE}/create", SCRATCH, "EEXIST")
    yield RefusedWrite("an mdev whose name is not a UUID", f"{MDEV_TYPE}/create", "guest1", "EINVAL")


def _taken(host: System, mdev: str) -> Iterator[RefusedWrite]:
    """A queue of a guest: for another mdev, for the host, for another driver."""
    found = next(_assigned_queues(host), None)
    if found is None:
        return
    guest, apqn = found
    yield RefusedWrite(
        f"{apqn}, which {guest.file.name} has, for another mdev",
        f"{mdev}/assign_domain",
        str(apqn.domain),
        "EADDRINUSE",
        ((f"{mdev}/assign_adapter", str(apqn.adapter)),),
    )
    yield from _back_to_the_host(host, apqn)
    override = f"bus/ap/devices/{apqn}/driver_override"
    yield RefusedWrite("an override while masks are in use", override, HOST_DRIVER, "EINVAL")
    if queue_drivers(host.shell.tree).get(apqn) == GUEST_DRIVER:
        yield RefusedWrite(
            "a driver for a queue that has one", f"bus/ap/drivers/{HOST_DRIVER}/bind", str(apqn), "EBUSY"
        )
        unbind = f"bus/ap/drivers/{HOST_DRIVER}/unbind"
        yield RefusedWrite("taking a queue from a driver that does not have it", unbind, str(apqn), "ENODEV")
        if host.linux.policy.name == "protective":
            unbind = f"bus/ap/drivers/{GUEST_DRIVER}/unbind"
            yield RefusedWrite(f"taking {apqn} from {guest.file.name}", unbind, str(apqn), "EBUSY")


def _back_to_the_host(host: System, apqn: Apqn) -> Iterator[RefusedWrite]:
    """Masks that give the host a queue of a guest. Linux refuses each, even where the other mask still keeps it."""
    what = f"{apqn} back to the host"
    bits = (("apmask", apqn.adapter), ("aqmask", apqn.domain))
    missing = [(mask, number) for mask, number in bits if number not in host.shell.mask(mask)]
    if host.linux.policy.name == "protective" and len(missing) > 1:
        joint = " ".join(f"{mask}=+{number}" for mask, number in missing)
        yield RefusedWrite(what, "bus/ap/masks", joint, "EBUSY")
        return
    for mask, number in missing:
        yield RefusedWrite(what, f"bus/ap/{mask}", f"+{number}", "EBUSY")


def _assigned_queues(host: System) -> Iterator[tuple[Guest, Apqn]]:
    drivers = queue_drivers(host.shell.tree)
    return (
        (guest, apqn)
        for guest in host.guests
        for apqn in assigned_matrix(host.shell.tree, guest.uuid).apqns()
        if apqn in drivers
    )


def _host_owned(host: System, mdev: str) -> Iterator[RefusedWrite]:
    """A queue that the masks give to the host."""
    apmask, aqmask = host.shell.mask("apmask"), host.shell.mask("aqmask")
    limit = int(host.shell.read("bus/ap/ap_max_adapter_id"))
    adapters = apmask & Mask.up_to(limit)
    if adapters and aqmask:
        yield RefusedWrite(
            "a queue of the host's own drivers for an mdev",
            f"{mdev}/assign_domain",
            str(next(iter(aqmask))),
            "EADDRNOTAVAIL",
            ((f"{mdev}/assign_adapter", str(next(iter(adapters)))),),
        )


def _second_profile(emulation: Emulation, host: System, report: Report) -> bool:
    """Activate another LPAR with the same queues."""
    profile = ActivationProfile("intruder", host.linux.level.matrix)
    try:
        emulation.machine.add_lpar(profile)
    except ApmatrixError as error:
        report.check("refused       a second LPAR with the same queues", passed=True)
        report.line(f"        {error}")
        return True
    emulation.machine.remove_lpar(profile.name)
    report.check("no error      a second LPAR with the same queues", passed=not len(profile.matrix))
    return False
