"""Refusals that do not come from a file of sysfs, but from the machine, KVM or a card."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from apmatrix.emulation.errors import KeysRefused
from apmatrix.hosts import Refusal
from apmatrix.machine import ProfileError
from apmatrix.rules.findings import MOST_APQNS, Finding, Holder, Severity
from apmatrix.rules.refusals import Refused

if TYPE_CHECKING:
    from apmatrix.arch import ApmatrixError


def machine_refusal(system: str, action: str, error: ApmatrixError) -> Refusal:
    """A refusal by the machine, KVM or a card; the error's errno or class names it."""
    finding = finding_of(error)
    return Refusal.of(system, action, finding.errno or type(error).__name__, finding)


def finding_of(error: ApmatrixError) -> Finding:
    """What an error says, with the parts that it has."""
    if isinstance(error, Refused):
        return error.finding
    if isinstance(error, ProfileError) and error.holder is not None and error.shared is not None:
        apqns = tuple(islice(error.shared.apqns(), MOST_APQNS))
        holders = (Holder("lpar", error.holder),)
        return Finding(Severity.REFUSED, str(error), apqns=apqns, holders=holders, rule="hardware.md 7.2")
    if isinstance(error, KeysRefused):
        errno = error.__cause__.finding.errno if isinstance(error.__cause__, Refused) else ""
        return Finding(Severity.REFUSED, str(error), apqns=(error.apqn,) if error.apqn else (), errno=errno)
    return Finding(Severity.REFUSED, str(error))
