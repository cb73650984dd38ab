"""A Linux system at a level: driver core, AP bus, vfio_ap, KVM."""

from apmatrix.linux.kvm import EventFd, Vm
from apmatrix.linux.system import LinuxSystem
from apmatrix.rules.refusals import Refused

__all__ = ["EventFd", "LinuxSystem", "Refused", "Vm"]
