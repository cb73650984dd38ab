"""A Linux system at a level: driver core, AP bus, vfio_ap, KVM."""

from apmatrix.linux.core import EventFd
from apmatrix.linux.system import LinuxSystem
from apmatrix.linux.vmm import Vm
from apmatrix.rules.refusals import Refused

__all__ = ["EventFd", "LinuxSystem", "Refused", "Vm"]
