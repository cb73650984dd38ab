"""A real s390x Linux in stock QEMU, whose AP instructions are executed at a level of our machine."""

from apmatrix.faces.boot.bridge import Bridge, End, Way
from apmatrix.faces.boot.errors import BootError, GuestError, KernelError, PackageError, QemuError
from apmatrix.faces.boot.guest import BootedGuest
from apmatrix.faces.boot.initramfs import Interactive
from apmatrix.faces.boot.level import LevelProcessor
from apmatrix.faces.boot.packages import Repository
from apmatrix.faces.boot.prepare import Software
from apmatrix.faces.boot.qemu import Hardware, Qemu, find_qemu
from apmatrix.faces.boot.service import GuestLevel, Server, Service

__all__ = [
    "BootError",
    "BootedGuest",
    "Bridge",
    "End",
    "GuestError",
    "GuestLevel",
    "Hardware",
    "Interactive",
    "KernelError",
    "LevelProcessor",
    "PackageError",
    "Qemu",
    "QemuError",
    "Repository",
    "Server",
    "Service",
    "Software",
    "Way",
    "find_qemu",
]
