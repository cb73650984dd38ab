"""Errors of the machine: what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError

if TYPE_CHECKING:
    from apmatrix.arch import Matrix


class UnknownFeature(ApmatrixError):
    """A machine cannot have an AP feature of this name: QCI does not define one."""


class UnknownAdapter(ApmatrixError):
    """There is no adapter of this number in the machine."""


class UnknownLpar(ApmatrixError):
    """There is no active LPAR of this name in the machine."""


class AdapterRefused(ApmatrixError):
    """An adapter cannot be plugged under this number: it is taken, or beyond the machine's highest."""


class LparActive(ApmatrixError):
    """An LPAR cannot be activated: one of this name is already active."""


class ProfileError(ApmatrixError):
    """An activation profile is refused; ``holder`` is the LPAR in the way, ``shared`` what both claim."""

    def __init__(self, message: str, holder: str | None = None, shared: Matrix | None = None) -> None:
        super().__init__(message)
        self.holder = holder
        self.shared = shared


class ValidityInterception(ApmatrixError):
    """SIE entry is refused with this validity-interception code (KVM-42, KVM-43)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"validity interception {code:04x}: {reason}")
        self.code = code


class Intercepted(ApmatrixError):
    """An AP instruction was intercepted and nothing handles it: user space gets it (KVM-20, KVM-21)."""
