"""The policy of a Linux system: Linux as it is, or a better one.

Faithful code consults its room's policy in a few places only: :class:`~apmatrix.linux.ap.policy.BusPolicy`,
:class:`~apmatrix.linux.kvm.policy.KvmPolicy` and :class:`~apmatrix.linux.vfio_ap.policy.VfioPolicy` give Linux's own
answers, :mod:`apmatrix.linux.protective` gives others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apmatrix.linux.ap.policy import BusPolicy
from apmatrix.linux.kvm.policy import KvmPolicy
from apmatrix.linux.vfio_ap.policy import VfioPolicy

if TYPE_CHECKING:
    from apmatrix.linux.core import KernelLog


class LinuxPolicy(BusPolicy, KvmPolicy, VfioPolicy):
    """Linux 7.2, quirks included."""

    name: ClassVar[str] = "linux"

    def __init__(self, log: KernelLog) -> None:
        self.log = log
