"""The exit codes of the commands, and the one error that carries one.

ApmatrixError
└── ControlError    a machine refused a request, or could not be asked: a sentence, and the exit code that fits

Errors of the rooms below arrive from a machine as ControlErrors, too.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError

if TYPE_CHECKING:
    from apmatrix.rules.findings import Finding


class ExitCode(IntEnum):
    """What a command's exit code says (docs/cli.md)."""

    FINE = 0
    REFUSED = 1
    """Something was found, or refused."""

    UNREADABLE = 2
    """Wrong usage, or input that cannot be read."""

    UNREACHABLE = 3
    """The machine or the guest is not running, or is already running, or what is needed is in use."""

    INCOMPLETE = 4
    """A change was left incomplete."""

    INTERRUPTED = 130
    """The command was interrupted, as by Ctrl-C."""

    BROKEN_PIPE = 141
    """The program that reads the output has ended."""


class ControlError(ApmatrixError):
    """A machine refused a request, or cannot be asked.

    ``code`` is the exit code that fits; ``findings`` has what was refused with its parts, where they are known.
    """

    def __init__(self, sentence: str, code: ExitCode = ExitCode.REFUSED, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(sentence)
        self.code = code
        self.findings = findings
