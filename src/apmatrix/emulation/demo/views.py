"""Part one: what each system sees of the cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.config import counted
from apmatrix.emulation.views import granted
from apmatrix.hosts import lszcrypt
from apmatrix.hosts.facts import queue_drivers

if TYPE_CHECKING:
    from apmatrix.emulation.bringup import Emulation, Guest, System
    from apmatrix.emulation.demo.report import Report

MANY = 12
"""Number of lines above which a view is not shown."""


def show_views(emulation: Emulation, report: Report) -> None:
    """Show what lszcrypt prints in each guest, and check that it is what its hosts gave it."""
    report.section("What each guest sees (lszcrypt -V)")
    for guest in emulation.guests():
        if guest.system is not None:
            _show(emulation, guest, guest.system, report)


def _show(emulation: Emulation, guest: Guest, system: System, report: Report) -> None:
    rows = list(lszcrypt.rows(system.shell))
    if len(rows) <= MANY:
        report.line(f"{system.name}:")
        report.devices(rows)
    found = set(queue_drivers(system.shell.tree))
    given = {apqn for apqn in granted(emulation, guest).apqns() if apqn.adapter in emulation.machine.adapters}
    report.check(f"{system.name} sees its {counted(len(given), 'queue')} and no other", passed=found == given)
