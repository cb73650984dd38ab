"""The policy ``protective``: nothing is lost without a word."""

from __future__ import annotations

from typing import ClassVar

from apmatrix.linux.policy import LinuxPolicy


class ProtectivePolicy(LinuxPolicy):
    """What a better system would decide."""

    name: ClassVar[str] = "protective"
