"""Errors of the faces.

ApmatrixError
├── SandboxError    the computer does not allow what a sandbox needs
│   └── LayerError  a directory cannot be covered
├── BootError       a real kernel cannot be booted (``faces.boot.errors``)
└── GdbError        a debugger's target does not answer as it should (``faces.gdb.errors``)
"""

from __future__ import annotations

from apmatrix.arch import ApmatrixError


class SandboxError(ApmatrixError):
    """The computer does not allow what a sandbox needs; the text says what to do."""


class LayerError(SandboxError):
    """A directory cannot be covered by a layer."""
