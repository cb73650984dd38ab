"""KVM of a Linux system: its VMs, and their AP instructions that leave SIE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.linux.kvm import aqic
from apmatrix.linux.kvm.vm import KvmVm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.arch import ConditionCode, CrycbFormat, Instruction, Registers
    from apmatrix.linux.core import Host
    from apmatrix.linux.kvm.policy import KvmPolicy
    from apmatrix.machine import Level, Memory


class Kvm:
    """The hypervisor of the levels below a system's own."""

    def __init__(self, host: Host, policy: KvmPolicy) -> None:
        self._host = host
        self._policy = policy
        self._vms: list[KvmVm] = []

    def create_vm(self, name: str, form: CrycbFormat | None = None, facilities: Iterable[int] | None = None) -> KvmVm:
        """Create a VM without an AP device."""
        with self._host.kernel:
            vm = KvmVm(self._host, name, form, facilities)
            vm.level.hypervisor = self
            self._vms.append(vm)
            return vm

    def destroy_vm(self, vm: KvmVm) -> None:
        """End a VM and its level. Idempotent."""
        with self._host.kernel:
            vm.level.close()
            if vm in self._vms:
                self._vms.remove(vm)
            self._host.kernel.wake()

    def intercept(
        self, level: Level, instruction: Instruction, registers: Registers, memory: Memory
    ) -> ConditionCode:
        """Handle an AP instruction of one of the VMs that left SIE."""
        vm = next(vm for vm in self._vms if vm.level is level)
        return aqic.intercept(vm, self._policy, instruction, registers, memory)
