"""The errors about a configuration file, and the words of its findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.config.places import Path
    from apmatrix.rules.findings import Finding


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
