"""A shell on a Linux: writes to sysfs, and keeps what was refused and why."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from apmatrix.arch import ALL_BITS, Mask
from apmatrix.hosts.facts import MATRIX
from apmatrix.rules.findings import Finding, Severity
from apmatrix.rules.refusals import Refused

if TYPE_CHECKING:
    from apmatrix.hosts.tree import Names, Tree


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that a system or the machine refused: where, what, with which errno, why and what to do.

    ``finding`` has the parts: the queues, their holders, the remedy, the place in the machine's file.
    """

    system: str
    action: str
    error: str
    finding: Finding

    @classmethod
    def of(cls, system: str, action: str, error: str, finding: Finding) -> Refusal:
        """The refusal of ``action`` by ``system``, for the reason in ``finding``."""
        return cls(system, action, error, replace(finding, system=system, action=action))

    @property
    def reason(self) -> str:
        """Why, and what to do, in one sentence."""
        return self.finding.text

    def __str__(self) -> str:
        return f"{self.system}: {self.action}: {self.error}: {self.reason}"


class Shell:
    """Reads and writes the files below /sys of one Linux.

    ``refusals`` has what failed, in order. ``mdevs`` has words for UUIDs, such as ``guest1's mdev``, which
    messages then use instead. Paths are absolute, or relative to /sys.
    """

    def __init__(self, name: str, tree: Tree) -> None:
        self.name = name
        self.tree = tree
        self.mdevs: dict[str, str] = {}
        self.refusals: list[Refusal] = []

    def write(self, path: str, text: str) -> Refusal | None:
        """Do ``echo text > path``; the refusal, or None if it was accepted."""
        path = _absolute(path)
        try:
            self.tree.write(path, f"{text}\n".encode())
        except OSError as error:
            refusal = Refusal.of(self.name, self._action(path, text), errno_name(error), self._finding(error))
            self.refusals.append(refusal)
            return refusal
        return None

    def read(self, path: str) -> str:
        """What ``cat path`` prints, without the last newline; OSError as the kernel gives it.

        Each byte becomes one character: a serial number, for example, is whatever the card reports.
        """
        return self.tree.read(_absolute(path)).decode("latin-1").removesuffix("\n")

    def list(self, path: str) -> Names:
        """What ``ls path`` prints; OSError as the kernel gives it."""
        return self.tree.list(_absolute(path))

    def mask(self, attribute: str) -> Mask:
        """A mask of the AP bus; all ones where the system does not know it because QCI is missing."""
        text = self.read(f"bus/ap/{attribute}")
        return ALL_BITS if text == "not supported" else Mask.parse_hex(text)

    def _action(self, path: str, text: str) -> str:
        """``assign_domain 6 for guest2's mdev``; for other files, the shell command."""
        mdev, _, attribute = path.removeprefix(f"{MATRIX}/").partition("/")
        if mdev in self.mdevs:
            return f"{attribute} {text} for {self.mdevs[mdev]}"
        return f"echo {text} > {path}"

    def _finding(self, error: OSError) -> Finding:
        """What an emulated kernel says beyond the errno, with words for UUIDs."""
        refused = error.__cause__
        if not isinstance(refused, Refused):
            return Finding(Severity.REFUSED, str(error.strerror), errno=errno_name(error))
        finding = refused.finding
        return replace(finding, message=self._worded(finding.message), remedy=self._worded(finding.remedy))

    def _worded(self, text: str) -> str:
        return re.sub(r"mdev ([0-9a-f-]{36})", lambda found: self.mdevs.get(found[1], found[0]), text)


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/sys/{path}"


def errno_name(error: OSError) -> str:
    """The name of an error's errno, such as ``EADDRINUSE``."""
    return errno.errorcode.get(error.errno or 0, f"errno {error.errno}")
