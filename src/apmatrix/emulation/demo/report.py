"""What a demonstration tells while it runs, and what it found out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Check:
    """Something that was checked, and whether it is as it must be."""

    section: str
    text: str
    passed: bool


class Report(ABC):
    """Takes what a demonstration tells; subclasses show it."""

    def __init__(self) -> None:
        self.checks: list[Check] = []
        self.sections: list[str] = []

    @property
    def failed(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if not check.passed]

    def section(self, title: str) -> None:
        """A new part begins."""
        self.sections.append(title)
        self.on_section(title)

    def check(self, text: str, *, passed: bool) -> None:
        """Something was checked."""
        check = Check(self.sections[-1] if self.sections else "", text, passed)
        self.checks.append(check)
        self.on_check(check)

    @abstractmethod
    def on_section(self, title: str) -> None:
        """Show the beginning of a part."""

    @abstractmethod
    def on_check(self, check: Check) -> None:
        """Show a check."""

    @abstractmethod
    def line(self, text: str) -> None:
        """Show a line."""

    @abstractmethod
    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Show a table."""
