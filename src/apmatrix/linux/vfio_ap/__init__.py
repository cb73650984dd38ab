"""vfio_ap: mediated matrix devices."""

from apmatrix.linux.vfio_ap.file import VfioFile, open_device
from apmatrix.linux.vfio_ap.mdev import MatrixMdev
from apmatrix.linux.vfio_ap.module import VfioAp

__all__ = ["MatrixMdev", "VfioAp", "VfioFile", "open_device"]
