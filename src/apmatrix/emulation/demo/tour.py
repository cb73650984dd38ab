"""The whole demonstration, part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.config import counted
from apmatrix.emulation.demo.intruder import intrude
from apmatrix.emulation.demo.plugging import plug
from apmatrix.emulation.demo.refused import try_what_is_refused
from apmatrix.emulation.demo.traffic import send_through_all
from apmatrix.emulation.demo.views import show_views
from apmatrix.emulation.rsa import RsaKey

if TYPE_CHECKING:
    from apmatrix.emulation.bringup import Emulation
    from apmatrix.emulation.demo.report import Report

KEY_BITS = 2048


def tour(emulation: Emulation, report: Report, key: RsaKey | None = None) -> None:
    """Show and check a machine that is up, by default with a new key; the report gets the verdicts."""
    key = key or RsaKey.generate(KEY_BITS)
    show_views(emulation, report)
    results = send_through_all(emulation, key, report)
    intrude(emulation, key, report)
    plug(emulation, key, report)
    refusals = try_what_is_refused(emulation, report)
    report.section("Done and checked")
    running = sum(guest.vm is not None for guest in emulation.guests())
    report.line(
        f"{counted(len(emulation.machine.adapters), 'adapter')}, {counted(len(emulation.lpars), 'LPAR')}, "
        f"{counted(running, 'running guest')}; {counted(results, 'RSA result')} matched pow(); "
        f"{counted(refusals, 'refusal')} explained"
    )
    for check in report.failed:
        report.line(f"failed: {check.section}: {check.text}")
    report.line(f"{counted(len(report.checks), 'check')}, {len(report.failed)} failed")
