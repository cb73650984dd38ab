"""Someone at the shell of an emulated Linux system: writes to sysfs, and keeps what was refused and why."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apmatrix.arch import ApmatrixError, ResponseCode
    from apmatrix.linux import LinuxSystem


def described(code: ResponseCode) -> str:
    """A response code for people: ``01 (not available)``."""
    return f"{code:02x} ({code.name.lower().replace('_', ' ')})"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that a system or the machine refused: where, what, with which errno, why and what to do."""

    system: str
    action: str
    error: str
    reason: str

    @classmethod
    def of(cls, system: str, action: str, refused: OSError | ApmatrixError) -> Refusal:
        """Describe an exception; its cause is what the emulated kernel had to say beyond the errno."""
        if isinstance(refused, OSError):
            number = refused.errno or 0
            reason = refused.__cause__ or refused.strerror
            return cls(system, action, errno.errorcode.get(number, str(number)), str(reason))
        return cls(system, action, type(refused).__name__, str(refused))

    def __str__(self) -> str:
        return f"{self.system}: {self.action}: {self.error}: {self.reason}"


class Administrator:
    """Writes to one Linux system; ``refusals`` has what failed, in order."""

    def __init__(self, name: str, linux: LinuxSystem) -> None:
        self.name = name
        self.linux = linux
        self.refusals: list[Refusal] = []

    def write(self, path: str, text: str) -> Refusal | None:
        """Do ``echo text > /sys/path``; the refusal, or None if it was accepted."""
        try:
            self.linux.sysfs.write(path, f"{text}\n".encode())
        except OSError as error:
            refusal = Refusal.of(self.name, f"{text} > {path}", error)
            self.refusals.append(refusal)
            return refusal
        return None

    def read(self, path: str) -> str:
        """What ``cat /sys/path`` prints, without the last newline; OSError as the kernel gives it."""
        return self.linux.sysfs.read(path).decode().removesuffix("\n")
