"""What a Linux system refuses, and the errno that programs see.

    ApmatrixError
    └── Refused                 what was refused, which APQNs, who holds them, what to do
        ├── BadValue            EINVAL      the text or value makes no sense here
        ├── TooLarge            ERANGE      a number of 2^64 or more
        ├── NoDevice            ENODEV      no such device, or not one for this driver
        ├── InUse               EBUSY       something else holds it
        ├── Exists              EEXIST      the name is taken
        ├── HostQueue           EADDRNOTAVAIL  an APQN belongs to the host's own drivers
        ├── SharedQueue         EADDRINUSE  an APQN belongs to another mdev
        ├── Interrupted         EINTR       a signal ended a wait
        └── Failed              EIO …       anything else; the errno is given

The emulated Linux raises only these; ``Sysfs`` turns them into OSError and keeps them as its ``__cause__``.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar

from apmatrix.arch import ApmatrixError
from apmatrix.rules.findings import MOST_APQNS, Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.arch import Apqn
    from apmatrix.rules.findings import Holder


class Refused(ApmatrixError):
    """Something was refused. ``str()`` is the whole sentence; the parts are attributes.

    ``message`` says what was refused, ``apqns`` are the queues in question, ``holder`` is what has them, ``remedy``
    is what to do about it. ``RULE`` is the rule of the reference that decides, where it is always the same one.
    """

    ERRNO: ClassVar[int] = errno.EINVAL
    RULE: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        apqns: Iterable[Apqn] = (),
        holder: Holder | None = None,
        remedy: str | None = None,
        number: int | None = None,
    ) -> None:
        self.message = message
        self.errno = number or self.ERRNO
        self.apqns = tuple(apqns)
        self.holder = holder
        self.remedy = remedy
        super().__init__(f"{message}: {remedy}" if remedy else message)

    @property
    def finding(self) -> Finding:
        """The same as a value."""
        return Finding(
            Severity.REFUSED,
            self.message,
            self.remedy or "",
            apqns=self.apqns[:MOST_APQNS],
            holders=(self.holder,) if self.holder else (),
            rule=self.RULE,
            errno=errno.errorcode.get(self.errno, ""),
        )

    def as_oserror(self) -> OSError:
        """The error that a system call gives."""
        return OSError(self.errno, str(self))


def quoted(text: str) -> str:
    """Written text in quotes, for a sentence; the newline that ``echo`` adds is left out."""
    return repr(text.removesuffix("\n"))


class BadValue(Refused):
    """The text or value makes no sense here."""

    ERRNO = errno.EINVAL


class TooLarge(Refused):
    """A number of 2^64 or more."""

    ERRNO = errno.ERANGE


class NoDevice(Refused):
    """There is no such device, or it is not one for this driver."""

    ERRNO = errno.ENODEV


class InUse(Refused):
    """Something else holds what was asked for."""

    ERRNO = errno.EBUSY


class Exists(Refused):
    """The name is taken."""

    ERRNO = errno.EEXIST


class HostQueue(Refused):
    """An APQN belongs to the host's own drivers (MTX-21a)."""

    ERRNO = errno.EADDRNOTAVAIL
    RULE = "MTX-21a"


class SharedQueue(Refused):
    """An APQN belongs to another mdev (MTX-21b)."""

    ERRNO = errno.EADDRINUSE
    RULE = "MTX-21b"


class Interrupted(Refused):
    """A signal ended a wait that could be interrupted."""

    ERRNO = errno.EINTR


class Failed(Refused):
    """Any other failure; give ``number``."""

    ERRNO = errno.EIO
