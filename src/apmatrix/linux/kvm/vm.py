"""KVM virtual machines, as far as AP is concerned (host.md section 6)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypedDict

from apmatrix.arch import EMPTY_MATRIX, CrycbFormat, Facility, Matrix
from apmatrix.rules.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apmatrix.linux.kvm.vfio import VfioFile
    from apmatrix.linux.system import LinuxSystem
    from apmatrix.machine import Level


class BootOptions(TypedDict, total=False):
    """How the Linux in a VM boots: the keyword arguments of LinuxSystem."""

    apmask: str | None
    aqmask: str | None
    domain: int
    vfio_ap: bool
    policy: str


class EventFd:
    """An event counter that somebody may wait on; ``action`` is called with every signal."""

    def __init__(self, action: Callable[[], None] | None = None) -> None:
        self.count = 0
        self._action = action

    def signal(self) -> None:
        """Count one more."""
        self.count += 1
        if self._action:
            self._action()


class Vm:
    """A virtual machine: a level below its host's.

    ``form`` is the format of its control block, ``facilities`` what its CPU model has. ``linux`` is the Linux in it,
    booted with ``boot_options`` when first asked for. ``files`` are the VFIO device files that its VMM holds.
    """

    def __init__(
        self,
        host: LinuxSystem,
        name: str,
        form: CrycbFormat | None = None,
        facilities: Iterable[int] | None = None,
    ) -> None:
        self.host = host
        self.name = name
        wanted = host.level.facilities if facilities is None else frozenset(facilities)
        if host.level.parent is not None:
            wanted -= {Facility.AQIC}  # AIV is not shadowed: nested guests poll (KVM-45)
        self.level: Level = host.level.child(name, default_format(host, wanted) if form is None else form, wanted)
        self.level.hypervisor = host.kvm
        self.files: list[VfioFile] = []
        self.boot_options: BootOptions = {}
        self._linux: LinuxSystem | None = None

    @property
    def has_device(self) -> bool:
        """True while an mdev is attached."""
        return any(file.first for file in self.files)

    @property
    def delivers_interrupts(self) -> bool:
        """True if adapter interruptions can reach the guest: facility 65, and not nested (AIV, KVM-45)."""
        return Facility.AQIC in self.level.facilities and self.host.level.parent is None

    @property
    def linux(self) -> LinuxSystem:
        """The Linux in the VM; the first look boots it."""
        if self._linux is None:
            self._linux = self.host.boot_guest(self)
        return self._linux

    @property
    def booted(self) -> bool:
        """True if somebody has looked at the VM's Linux."""
        return self._linux is not None

    def reboot(self) -> LinuxSystem:
        """Start its Linux from the beginning, whatever state it is in."""
        self._shut_down()
        return self.linux

    def _shut_down(self) -> None:
        if self._linux is not None:
            self._linux.shut_down()
            self._linux = None

    def set_masks(self, matrix: Matrix) -> None:
        """Write the control block, with all virtual CPUs out of SIE (KVM-10)."""
        self.level.set_matrix(matrix)

    def open(self, uuid: str) -> VfioFile:
        """Open an mdev for this VM (VFIO-2); Refused EINVAL, EPERM, EBUSY, ENODEV."""
        return self.host.kvm.open(uuid, self)

    def start_device(self, uuid: str) -> None:
        """Attach an mdev the way QEMU does: open, listen to both events, reset."""
        file = self.open(uuid)
        file.listen(request=EventFd(self._unplug_soon), config=EventFd(self._tell_guest))
        with suppress(Refused):  # QEMU reports a failed reset and goes on
            file.reset()

    def _unplug_soon(self) -> None:
        """The host wants the mdev back: QEMU unplugs the device."""
        clock = self.host.machine.clock
        clock.call_later(0, lambda: clock.spawn(self.unplug))

    def _tell_guest(self) -> None:
        """The configuration changed: the guest gets a machine event and scans."""
        if self._linux is not None:
            self._linux.ap.scanner.request()

    def unplug(self) -> None:
        """Close every device file."""
        with self.host.kernel:
            for file in tuple(self.files):
                file.close()

    def stop(self) -> None:
        """End the VM: its Linux stops, its devices are closed, its level goes."""
        self._shut_down()
        self.unplug()
        with self.host.kernel:
            self.level.set_matrix(EMPTY_MATRIX)
            self.level.close()
            self.host.kvm.forget(self)
            self.host.kernel.wake()

    def __repr__(self) -> str:
        return f"Vm({self.name!r} on {self.host.name})"


def default_format(host: LinuxSystem, facilities: frozenset[int]) -> CrycbFormat:
    """The control block's format (KVM-2)."""
    if Facility.MSA3 not in facilities:
        return CrycbFormat.FORMAT_0
    return CrycbFormat.FORMAT_2 if host.machine.qci(host.level).apxa else CrycbFormat.FORMAT_1
