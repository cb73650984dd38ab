"""The root of every exception that apmatrix raises on purpose.

    ApmatrixError               one sentence: what was refused, which APQNs, who holds them, what to do
    └── ProgramCheck            an AP instruction ended with a program interruption

Each room adds its own branches below the root (``config.ConfigError``, ``machine.ProfileError``,
``linux.Refusal`` …). At a sysfs or ioctl edge they become the errno that the kernel gives, at the command
line a sentence.
"""

from __future__ import annotations

from enum import IntEnum


class ApmatrixError(Exception):
    """Root of all intended errors; ``str()`` is a sentence for a person."""


class Interruption(IntEnum):
    """Program interruption codes that AP instructions can end with (hardware.md section 1)."""

    OPERATION = 0x0001
    PRIVILEGED_OPERATION = 0x0002
    PROTECTION = 0x0004
    ADDRESSING = 0x0005
    SPECIFICATION = 0x0006
    SEGMENT_TRANSLATION = 0x0010
    PAGE_TRANSLATION = 0x0011


class ProgramCheck(ApmatrixError):
    """An AP instruction ended with a program interruption; nothing was changed.

    ``code`` is the program-interruption code, ``reason`` says which rule was broken.
    """

    def __init__(self, code: Interruption, reason: str) -> None:
        super().__init__(f"program check {code:04x} ({code.name.lower().replace('_', ' ')}): {reason}")
        self.code = code
        self.reason = reason
