"""What a run of the tests did not try, and why: printed at its end, so that a green run does not hide it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

LONG = "takes over half a minute: pytest --long"
PEERS = "runs the tests of another project: make peers"
_CHOSEN = (LONG, PEERS)
_PREFIX = "Skipped: "


def untried(reports: Iterable[pytest.TestReport]) -> list[str]:
    """For each reason: how many tests it kept from running, and in which files."""
    by_reason: dict[str, list[str]] = {}
    for report in reports:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        by_reason.setdefault(reason.removeprefix(_PREFIX), []).append(report.nodeid.partition("::")[0])
    ordered = sorted(by_reason, key=lambda reason: (reason in _CHOSEN, -len(by_reason[reason]), reason))
    return [f"{_tests(by_reason[reason])}: {reason}" for reason in ordered]


def _tests(files: list[str]) -> str:
    count = f"{len(files)} test{'s' * (len(files) != 1)}"
    names = sorted(set(files))
    shown = ", ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} other files"
    return f"{count} of {shown}"
