"""What a demonstration tells while it runs, and what it found out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """Something that was checked, and whether it is as it must be."""

    section: str
    text: str
    passed: bool


class Report:
    """Takes what a demonstration tells. This one keeps the checks and shows nothing; subclasses show more."""

    def __init__(self) -> None:
        self.checks: list[Check] = []
        self._section = ""

    @property
    def failed(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if not check.passed]

    def section(self, title: str) -> None:
        """A new part begins."""
        self._section = title

    def check(self, text: str, *, passed: bool) -> None:
        """Keep what was checked, and whether it passed, under the section's title."""
        self.checks.append(Check(self._section, text, passed))

    def line(self, text: str) -> None:
        """A line to read."""
