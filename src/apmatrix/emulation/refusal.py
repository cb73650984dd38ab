"""Refusals that do not come from a file of sysfs, but from the machine, KVM or a card."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from apmatrix.hosts import Refusal

if TYPE_CHECKING:
    from apmatrix.arch import ApmatrixError


def machine_refusal(system: str, action: str, error: ApmatrixError) -> Refusal:
    """A refusal by the machine, KVM or a card; the error's errno or class names it."""
    number = getattr(error, "errno", None)
    name = errno.errorcode.get(number, str(number)) if number else type(error).__name__
    return Refusal(system, action, name, str(error))
