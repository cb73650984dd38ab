"""Errors of the bridge to a real kernel."""

from __future__ import annotations

from apmatrix.arch import ApmatrixError


class BootError(ApmatrixError):
    """Base of the errors of a boot; ``str()`` is a sentence for the user."""


class PackageError(BootError):
    """A Debian package, or the tool that fetches it, is not available."""


class QemuError(BootError):
    """QEMU is missing, did not start, or ended."""


class KernelError(BootError):
    """The kernel is not one whose AP instructions can be intercepted."""


class GuestError(BootError):
    """The guest did not do what it was started for."""
