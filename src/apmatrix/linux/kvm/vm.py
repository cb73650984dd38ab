"""Virtual machines as KVM sees them, as far as AP is concerned (host.md section 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from apmatrix.arch import CrycbFormat, Facility, QueueStatus, Registers
from apmatrix.machine import Memory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.linux.core import Host
    from apmatrix.machine import Level

PqapHook = Callable[[Registers, Memory], QueueStatus]
"""Answers a VM's AQIC, from its registers and storage; raises Intercepted to leave it to user space."""


class KvmVm:
    """A VM: a level below its host's.

    ``form`` is the format of its control block, ``facilities`` are those of its CPU model. ``pqap_hook`` is set by
    the driver of the VM's AP device while there is one (KVM-31).
    """

    def __init__(
        self,
        host: Host,
        name: str,
        form: CrycbFormat | None = None,
        facilities: Iterable[int] | None = None,
    ) -> None:
        self.name = name
        wanted = host.level.facilities if facilities is None else frozenset(facilities)
        if host.level.parent is not None:
            wanted -= {Facility.AQIC}  # AIV is not shadowed: nested guests poll (KVM-45)
        self.level: Level = host.level.child(name, default_format(host, wanted) if form is None else form, wanted)
        self.pqap_hook: PqapHook | None = None

    @property
    def delivers_interrupts(self) -> bool:
        """True if adapter interruptions can reach the guest: facility 65, and not nested (AIV, KVM-45)."""
        return Facility.AQIC in self.level.facilities and self.level.depth == 2

    def __repr__(self) -> str:
        return f"KvmVm({self.name!r})"


def default_format(host: Host, facilities: frozenset[int]) -> CrycbFormat:
    """The format that KVM chooses for a VM's control block (KVM-2)."""
    if Facility.MSA3 not in facilities:
        return CrycbFormat.FORMAT_0
    return CrycbFormat.FORMAT_2 if host.machine.qci(host.level).apxa else CrycbFormat.FORMAT_1
