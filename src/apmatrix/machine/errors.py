"""What the machine refuses.

ApmatrixError
├── ProfileError            an activation profile does not fit the machine or another LPAR
├── ValidityInterception    a nested guest cannot be entered: its control block is wrong
└── Intercepted             an AP instruction left SIE and nobody above handles it
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError

if TYPE_CHECKING:
    from apmatrix.arch import Matrix


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
