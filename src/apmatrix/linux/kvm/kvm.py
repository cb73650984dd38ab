"""KVM of a Linux system: which VMs run, and what they opened."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from apmatrix.linux.kvm import aqic
from apmatrix.linux.kvm.vfio import VfioFile
from apmatrix.linux.kvm.vm import Vm
from apmatrix.rules.refusals import BadValue, Failed, InUse, NoDevice

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.arch import ConditionCode, CrycbFormat, Instruction, Registers
    from apmatrix.linux.system import LinuxSystem
    from apmatrix.linux.vfio_ap.mdev import MatrixMdev
    from apmatrix.machine import Level, Memory


class Kvm:
    """The virtual machines of a system. It is the hypervisor of their levels."""

    def __init__(self, system: LinuxSystem) -> None:
        self.system = system
        self.vms: list[Vm] = []

    def create_vm(self, name: str, form: CrycbFormat | None = None, facilities: Iterable[int] | None = None) -> Vm:
        """A VM without AP devices; Refused EOPNOTSUPP on a host without AP (KVM-4)."""
        if any(vm.name == name for vm in self.vms):
            raise InUse(f"there is a VM {name} already", holder=name, remedy="choose another name")
        with self.system.kernel:
            vm = Vm(self.system, name, form, facilities)
            self.vms.append(vm)
            return vm

    def start(self, uuid: str, name: str | None = None, form: CrycbFormat | None = None) -> Vm:
        """Start a VM with an mdev, the way QEMU does; raises what opening the device raises."""
        vm = self.create_vm(name or uuid, form)
        try:
            vm.start_device(uuid)
        except BaseException:
            vm.stop()
            raise
        return vm

    def find(self, name: str) -> Vm:
        """The VM of that name, or the one that has the mdev of that UUID; NoDevice if there is none."""
        for vm in self.vms:
            if name == vm.name or any(file.mdev.name == name.lower() for file in vm.files):
                return vm
        raise NoDevice(f"no VM {name} runs on {self.system.name}")

    def open(self, uuid: str, vm: Vm | None) -> VfioFile:
        """Open an mdev (VFIO-2, VFIO-3): Refused ENODEV, EINVAL without VM, EBUSY, EPERM."""
        system = self.system
        with system.kernel:
            module = system.vfio_ap
            if module is None:
                raise NoDevice("vfio_ap is not loaded", remedy="load it first")
            mdev = module.lifecycle.find(uuid)
            if vm is None:
                raise BadValue(f"mdev {uuid} cannot be opened without a VM")
            if mdev.opens:
                return self._share(mdev, vm)
            if vm.has_device:
                raise Failed(f"VM {vm.name} has a vfio-ap device already", number=errno.EPERM)
            system.policy.check_open(mdev, vm.level.form.limits)
            file = VfioFile(mdev, vm, first=True)
            with module.guests_lock, module.mdevs_lock:
                mdev.opens = 1
                mdev.vm = vm
                vm.files.append(file)
                module.update_guest(mdev)
            return file

    @staticmethod
    def _share(mdev: MatrixMdev, vm: Vm) -> VfioFile:
        if mdev.vm is not vm:
            holder = mdev.vm.name if mdev.vm else "another process"
            raise InUse(f"mdev {mdev.name} is in use by VM {holder}", holder=holder, remedy="stop that VM first")
        file = VfioFile(mdev, vm, first=False)
        mdev.opens += 1
        vm.files.append(file)
        return file

    def intercept(
        self, level: Level, instruction: Instruction, registers: Registers, memory: Memory
    ) -> ConditionCode:
        """An AP instruction of one of the VMs left SIE."""
        vm = next(vm for vm in self.vms if vm.level is level)
        return aqic.intercept(vm, instruction, registers, memory)

    def forget(self, vm: Vm) -> None:
        """A VM ended."""
        if vm in self.vms:
            self.vms.remove(vm)

    def stop(self) -> None:
        """End all VMs."""
        for vm in tuple(self.vms):
            vm.stop()
