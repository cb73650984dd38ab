"""What is wrong with a configuration file: findings with the place, and the error that carries them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError, Apqn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.config.places import Path


MOST_APQNS = 256
"""Of more queues than these, a finding has the first ones."""

_ALTERNATIVES = "did you mean", "the keys are"


class Severity(Enum):
    """How serious a finding is."""

    ERROR = "error"  # the file cannot be understood
    REFUSED = "refused"  # it can, but the machine or a kernel will refuse what it asks for
    WARNING = "warning"  # it works, but perhaps not as meant


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about a file: where it is, what it is and what to do.

    ``message`` says what is wrong and ``remedy``, which may be empty, what to do. ``apqns`` are the queues concerned,
    of many the first :data:`MOST_APQNS`. ``refuses`` has the paths of the LPARs and guests that do not get what they
    ask for. ``line`` counts from 1; it is None if there is none, as for tables that a program made.
    """

    severity: Severity
    file: str
    line: int | None
    path: str
    message: str
    remedy: str = ""
    apqns: tuple[Apqn, ...] = ()
    refuses: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The message and the remedy in one sentence."""
        if not self.remedy:
            return self.message
        return f"{self.message}{'; ' if self.remedy.startswith(_ALTERNATIVES) else ': '}{self.remedy}"

    @property
    def place(self) -> str:
        """``examples/x.toml:14: lpar[0].guest[1].adapters``; the line and the path only if there are any."""
        line = "" if self.line is None else f":{self.line}"
        return f"{self.file}{line}" + (f": {self.path}" if self.path else "")

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class ConfigError(ApmatrixError):
    """A configuration file cannot be used; ``findings`` has every reason, ``str()`` one line for each."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(map(str, self.findings)))


class NotInFile(ApmatrixError):
    """A name was given that the file does not have, or has several times."""


def dotted(path: Path) -> str:
    """A path as findings show it: ``lpar[0].guest[1].adapters``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def counted(number: int, what: str) -> str:
    """``1 queue``, ``2 queues``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
