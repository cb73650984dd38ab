"""Errors of the bridge to a real kernel."""

from __future__ import annotations

from apmatrix.arch import ApmatrixError


class BootError(ApmatrixError):
    """Root of what a boot can end with; ``str()`` is a sentence for a person."""


class PackageError(BootError):
    """A Debian package, or the tool that gets it, cannot be had."""


class QemuError(BootError):
    """QEMU is missing, did not start, or ended."""


class KernelError(BootError):
    """The kernel is not one whose AP instructions can be intercepted."""


class GuestError(BootError):
    """The guest did not do what it was started for."""
