"""The decisions in KVM where a better system may differ from Linux."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch.registers import StatusRegister
from apmatrix.arch.status import NOT_AVAILABLE

if TYPE_CHECKING:
    from apmatrix.arch import Registers


class KvmPolicy:
    """What KVM asks a policy; the answers here are Linux's own."""

    def store_no_hook(self, registers: Registers) -> None:
        """Say in GR1 that nothing answers an AQIC; Linux uses the half of the register that is not read (KVM-31)."""
        registers.gr[1] = StatusRegister(registers.gr[1]).replace(unread=NOT_AVAILABLE).value
