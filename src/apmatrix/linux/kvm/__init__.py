"""KVM: virtual machines, their VFIO devices, and the AP instructions that leave SIE."""

from apmatrix.linux.kvm.kvm import Kvm
from apmatrix.linux.kvm.vfio import BAD_POINTER, VfioFile
from apmatrix.linux.kvm.vm import EventFd, Vm

__all__ = ["BAD_POINTER", "EventFd", "Kvm", "VfioFile", "Vm"]
