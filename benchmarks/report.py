"""What a benchmark measured, and how it is printed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


@dataclass(frozen=True)
class Result:
    """One figure, and its ratio to a yardstick that was measured in the same run."""

    what: str
    value: float
    unit: str
    yardstick: str
    yardstick_value: float
    aim: str = ""

    @property
    def ratio(self) -> float:
        """Figure divided by yardstick."""
        return self.value / self.yardstick_value

    def row(self) -> str:
        """A row of a Markdown table."""
        cells = (
            self.what,
            f"{_number(self.value)} {self.unit}",
            f"{self.yardstick}: {_number(self.yardstick_value)} {self.unit}",
            f"{self.ratio:.2g}" if self.ratio < 1 else f"{self.ratio:.2f}",
            self.aim or "–",
        )
        return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(results: list[Result]) -> str:
    """All results as a Markdown table."""
    head = ("| what | measured | yardstick | ratio | aim |", "|---|---|---|---|---|")
    return "\n".join((*head, *(result.row() for result in results)))


def rate(action: Callable[[], object], seconds: float = 0.5) -> float:
    """Calls per second of ``action``: the best of three stretches."""
    best = 0.0
    for _ in range(3):
        count, start = 0, time.perf_counter()
        end = start + seconds
        now = start
        while now < end:
            for _ in range(16):
                action()
            count += 16
            now = time.perf_counter()
        best = max(best, count / (now - start))
    return best
