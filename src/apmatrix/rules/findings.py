"""Findings: what is wrong with a file, a system or a request, as a value with its parts."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from enum import Enum
from typing import Any, Final, Literal

from apmatrix.arch import Apqn  # noqa: TC001 - looked up when a finding is decoded

MOST_APQNS: Final = 256
"""Of more queues than these, a finding has the first ones."""

_ALTERNATIVES: Final = "did you mean", "the keys are", "a leading 0"


def printed(name: str) -> str:
    r"""A file's name as text: bytes that are not become ``\udcff``, as on standard error."""
    return name.encode(errors="backslashreplace").decode()


class Severity(Enum):
    """How serious a finding is."""

    ERROR = "error"  # the file cannot be understood
    REFUSED = "refused"  # it can, but the machine or a kernel refuses what it asks for
    WARNING = "warning"  # it works, but perhaps not as meant
    NOTE = "note"  # good to know


HolderKind = Literal["host", "lpar", "guest", "mdev", "driver", "node", "process"]


@dataclass(frozen=True, slots=True)
class Holder:
    """What has the queues, the mdev or the name that something else asks for; ``name`` or ``uuid`` may be empty."""

    kind: HolderKind
    name: str = ""
    uuid: str = ""

    def __str__(self) -> str:
        return self.name or self.uuid or {"host": "the host", "process": "another process"}.get(self.kind, self.kind)

    def as_json(self) -> dict[str, str | None]:
        """The same as plain data."""
        return {"kind": self.kind, "name": self.name or None, "uuid": self.uuid or None}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about a file or a system: where it is, what it is and what to do.

    ``message`` says what is wrong and ``remedy``, which may be empty, what to do. ``line`` counts from 1; it is None
    if there is none, as for tables that a program made. ``apqns`` are the queues concerned, of many the first
    :data:`MOST_APQNS`; ``holders`` have them. ``refuses`` has the paths of the LPARs and guests that do not get what
    they ask for. ``rule`` is a name that the reference knows, ``errno`` the name of what a kernel answers.

    What a running system refused has the system's name and what was tried in ``system`` and ``action``.
    """

    severity: Severity
    message: str
    remedy: str = ""
    _: KW_ONLY
    file: str = ""
    line: int | None = None
    path: str = ""
    apqns: tuple[Apqn, ...] = ()
    refuses: tuple[str, ...] = ()
    holders: tuple[Holder, ...] = ()
    rule: str = ""
    errno: str = ""
    system: str = ""
    action: str = ""

    def __post_init__(self) -> None:
        """Let a file's name be text, whatever its bytes are."""
        object.__setattr__(self, "file", printed(self.file))

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
        parts = (self.system, self.action, self.errno) if self.system else (self.place,)
        return ": ".join(part for part in (*parts, self.text) if part)

    def as_json(self) -> dict[str, Any]:
        """The same as plain data (docs/json.md): what is not known is None or empty."""
        return {
            "severity": self.severity.value,
            "rule": self.rule or None,
            "place": {"file": self.file or None, "line": self.line, "path": self.path or None},
            "system": self.system or None,
            "action": self.action or None,
            "apqns": [str(apqn) for apqn in self.apqns],
            "holders": [holder.as_json() for holder in self.holders],
            "refuses": list(self.refuses),
            "errno": self.errno or None,
            "text": self.message,
            "remedy": [{"text": self.remedy}] if self.remedy else [],
        }
