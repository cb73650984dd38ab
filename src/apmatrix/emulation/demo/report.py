"""What a demonstration reports while it is running, and what it found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apmatrix.hosts.lszcrypt import Row


@dataclass(frozen=True, slots=True)
class Check:
    """Something that was checked, and whether it passed."""

    section: str
    text: str
    passed: bool


class Report:
    """Receives what a demonstration reports. This class keeps the checks and shows nothing; subclasses show more."""

    def __init__(self) -> None:
        self.checks: list[Check] = []
        self._section = ""

    @property
    def failed(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if not check.passed]

    def section(self, title: str) -> None:
        """Begin a new part."""
        self._section = title

    def check(self, text: str, *, passed: bool) -> None:
        """Keep what was checked, and whether it passed, under the section's title."""
        self.checks.append(Check(self._section, text, passed))

    def line(self, text: str) -> None:
        """Show a line; here, ignore it."""

    def devices(self, rows: Sequence[Row]) -> None:
        """Show the cards and queues of a system; here, ignore them."""
