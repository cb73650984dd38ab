"""The benchmarks run, and the README's table has a row for each of their figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import cards, core, report

README = Path(__file__).resolve().parent.parent / "README.md"
SHORT = 0.01
"""Seconds of each stretch: enough to see that a benchmark works, not to learn anything from it."""


@pytest.mark.parametrize("module", [core, cards], ids=lambda module: module.__name__)
def test_a_benchmark_runs(module, monkeypatch):
    monkeypatch.setattr(module, "rate", lambda action, _seconds=SHORT: report.rate(action, SHORT))
    for name in {"SECONDS", "RSA_SECONDS"} & set(vars(module)):
        monkeypatch.setattr(module, name, SHORT)
    results = module.results()
    table = README.read_text().partition(report.BEGIN)[2].partition(report.END)[0]
    for result in results:
        assert result.value > 0
        assert result.yardstick_value > 0
        what, _, yardstick, _, aim = (cell.strip() for cell in result.row().strip("|").split("|"))
        rows = [line.split("|") for line in table.splitlines() if line.startswith(f"| {what} |")]
        assert len(rows) == 1, what
        assert (rows[0][3].strip().partition(":")[0], rows[0][5].strip()) == (yardstick.partition(":")[0], aim)
