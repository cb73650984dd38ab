"""What runs a system's virtual machines, as QEMU does: on KVM, with VFIO devices."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypedDict

from apmatrix.linux.core import EventFd
from apmatrix.linux.vfio_ap import VfioFile, open_device
from apmatrix.rules.findings import Holder
from apmatrix.rules.refusals import InUse, NoDevice, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.arch import CrycbFormat
    from apmatrix.linux.kvm import KvmVm
    from apmatrix.linux.system import LinuxSystem
    from apmatrix.machine import Level


class BootOptions(TypedDict, total=False):
    """How the Linux in a VM boots: the keyword arguments of LinuxSystem."""

    apmask: str | None
    aqmask: str | None
    domain: int
    vfio_ap: bool
    policy: str


class Vm:
    """A virtual machine: KVM's part of it, the VFIO device files that its VMM has open, and the Linux in it.

    ``host`` is the system that it runs on, ``level`` its own. The Linux in it boots with ``boot_options``.
    """

    def __init__(self, host: LinuxSystem, kvm_vm: KvmVm) -> None:
        self.host = host
        self.name = kvm_vm.name
        self.level: Level = kvm_vm.level
        self.boot_options: BootOptions = {}
        self._kvm_vm = kvm_vm
        self._files: list[VfioFile] = []
        self._linux: LinuxSystem | None = None

    @property
    def files(self) -> tuple[VfioFile, ...]:
        """The open VFIO device files."""
        return tuple(file for file in self._files if not file.closed)

    @property
    def linux(self) -> LinuxSystem:
        """The Linux in the VM, booted on first access."""
        if self._linux is None:
            self._linux = self.host.boot_guest(self)
        return self._linux

    @property
    def booted(self) -> bool:
        """True once the VM's Linux has been booted."""
        return self._linux is not None

    def reboot(self) -> LinuxSystem:
        """Boot its Linux afresh, whatever state it is in."""
        self._shut_down()
        return self.linux

    def _shut_down(self) -> None:
        if self._linux is not None:
            self._linux.shut_down()
            self._linux = None

    def open(self, uuid: str) -> VfioFile:
        """Open an mdev for this VM (VFIO-2); raises Refused: EINVAL, EPERM, EBUSY, ENODEV."""
        with self.host.kernel:
            module = self.host.vfio_ap
            if module is None:
                raise NoDevice("vfio_ap is not loaded", remedy="load it first")
            file = open_device(module, uuid, self._kvm_vm)
            self._files = [*self.files, file]
            return file

    def start_device(self, uuid: str) -> None:
        """Attach an mdev the way QEMU does: open it, listen for both events, reset it."""
        file = self.open(uuid)
        file.listen(request=EventFd(self._unplug_soon), config=EventFd(self._tell_guest))
        with suppress(Refused):  # QEMU reports a failed reset and goes on
            file.reset()

    def _unplug_soon(self) -> None:
        """Unplug the device, as QEMU does when the host wants the mdev back."""
        clock = self.host.machine.clock
        clock.call_later(0, lambda: clock.spawn(self.unplug))

    def _tell_guest(self) -> None:
        """Send the guest a machine event after a configuration change: it scans."""
        self.level.report_change()

    def unplug(self) -> None:
        """Close every device file."""
        with self.host.kernel:
            for file in self.files:
                file.close()

    def stop(self) -> None:
        """End the VM: stop its Linux, close its devices, remove its level."""
        self._shut_down()
        self.unplug()
        self.host.vmm.forget(self)
        self.host.kvm.destroy_vm(self._kvm_vm)

    def __repr__(self) -> str:
        return f"Vm({self.name!r} on {self.host.name})"


class Vmm:
    """Starts, finds and ends the virtual machines of a system; ``vms`` are the running ones."""

    def __init__(self, system: LinuxSystem) -> None:
        self._system = system
        self.vms: list[Vm] = []

    def create_vm(self, name: str, form: CrycbFormat | None = None, facilities: Iterable[int] | None = None) -> Vm:
        """Create a VM without AP devices; raises InUse if the name is taken.

        ``form`` is the format of its control block, by default the one that KVM chooses; ``facilities`` are those of
        its CPU model, by default its host's.
        """
        if any(vm.name == name for vm in self.vms):
            raise InUse(f"VM {name} already exists", holder=Holder("guest", name), remedy="choose another name")
        with self._system.kernel:
            vm = Vm(self._system, self._system.kvm.create_vm(name, form, facilities))
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
        raise NoDevice(f"no VM {name} is running on {self._system.name}")

    def forget(self, vm: Vm) -> None:
        """Drop a VM that has ended. Idempotent."""
        with self._system.kernel:
            if vm in self.vms:
                self.vms.remove(vm)

    def stop(self) -> None:
        """End all virtual machines."""
        for vm in tuple(self.vms):
            vm.stop()
