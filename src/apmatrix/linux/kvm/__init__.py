"""KVM: virtual machines, and the AP instructions that leave SIE."""

from apmatrix.linux.kvm.kvm import Kvm
from apmatrix.linux.kvm.vm import KvmVm

__all__ = ["Kvm", "KvmVm"]
