"""A Linux system at a level: an LPAR's, or a guest's at any depth. They are all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError
from apmatrix.linux.ap.bus import ApBus
from apmatrix.linux.ap.parameters import ApParameters
from apmatrix.linux.core import Host
from apmatrix.linux.kvm import Kvm
from apmatrix.linux.modules import Modules
from apmatrix.linux.policy import LinuxPolicy
from apmatrix.linux.protective import ProtectivePolicy
from apmatrix.linux.vfio_ap import VfioAp
from apmatrix.linux.vmm import Vm, Vmm
from apmatrix.linux.zcrypt import Zcrypt
from apmatrix.linux.zcrypt.cex4 import Cex4CardDriver, Cex4QueueDriver
from apmatrix.linux.zcrypt.nodes import ZcryptNodes
from apmatrix.linux.zcrypt.rng import Hwrng

if TYPE_CHECKING:
    from apmatrix.machine import Cpc, Level

POLICIES: dict[str, type[LinuxPolicy]] = {"linux": LinuxPolicy, "protective": ProtectivePolicy}


class UnknownPolicy(ApmatrixError):
    """The requested policy of a Linux system does not exist."""


class LinuxSystem:
    """Linux 7.2 with AP bus, zcrypt, vfio_ap and KVM, running at ``level`` of ``machine``.

    ``apmask``, ``aqmask`` and ``domain`` are the boot parameters of the ap module, ``vfio_ap`` loads that module,
    ``policy`` is ``"linux"`` or ``"protective"``; any other raises UnknownPolicy. The constructor returns when the
    first scan is done. ``sysfs`` gives access to everything; ``log`` and ``uevents`` are the kernel's output;
    ``vmm`` runs its virtual machines.
    """

    def __init__(
        self,
        machine: Cpc,
        level: Level,
        *,
        name: str | None = None,
        apmask: str | None = None,
        aqmask: str | None = None,
        domain: int = -1,
        vfio_ap: bool = True,
        policy: str = "linux",
    ) -> None:
        if policy not in POLICIES:
            raise UnknownPolicy(f"there is no policy {policy!r}: choose {' or '.join(POLICIES)}")
        self.host = host = Host(machine, level, name)
        self.machine, self.level, self.name = host.machine, host.level, host.name
        self.kernel, self.log, self.uevents, self.sysfs = host.kernel, host.log, host.uevents, host.sysfs
        self.policy = POLICIES[policy](host.log)
        self.kvm = Kvm(host, self.policy)
        self.vmm = Vmm(self)
        self.vfio_ap: VfioAp | None = None
        with self.kernel:
            self.modules = Modules(host)
            self.ap = ApBus(host, self.policy, apmask, aqmask, domain)
            self.parameters = ApParameters(self.ap, apmask, aqmask)
            self.zcrypt = Zcrypt(self.ap)
            self.ap.add_driver(Cex4CardDriver(self.zcrypt))
            self.ap.add_driver(Cex4QueueDriver(self.zcrypt))
            self.zcrypt_nodes = ZcryptNodes(host, self.zcrypt)
            self.hwrng = Hwrng(host, self.zcrypt)
            self.ap.scanner.scan()
            if vfio_ap:
                self.load_vfio_ap()

    def load_vfio_ap(self) -> None:
        """``modprobe vfio_ap``; does nothing if it is already loaded."""
        with self.kernel:
            if self.vfio_ap is None:
                self.modules.add("mdev", "vfio_ap")
                self.vfio_ap = VfioAp(self.host, self.ap, self.policy)

    def unload_vfio_ap(self) -> None:
        """``rmmod vfio_ap``; Refused (EAGAIN) while a guest has an mdev (MTX-93)."""
        with self.kernel:
            if self.vfio_ap is not None:
                self.vfio_ap.unload()
                self.vfio_ap = None
                self.modules.remove("vfio_ap", "mdev")

    def boot_guest(self, vm: Vm) -> LinuxSystem:
        """Boot the Linux in a VM."""
        return LinuxSystem(self.machine, vm.level, name=vm.name, **vm.boot_options)

    def shut_down(self) -> None:
        """Stop the system's VMs and timers. The level's queues are left to the machine."""
        self.vmm.stop()
        with self.kernel:
            self.ap.stop()

    def scan(self) -> None:
        """Scan the AP bus now, as a write to ``scans`` does."""
        with self.kernel:
            self.ap.scanner.scan()

    def __repr__(self) -> str:
        return f"LinuxSystem({self.name!r}, level {self.level.depth})"
