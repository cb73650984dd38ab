"""Refusals that no file of a system gave: the machine's, and those of KVM and the cards."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from apmatrix.hosts import Refusal

if TYPE_CHECKING:
    from apmatrix.arch import ApmatrixError


def machine_refusal(system: str, action: str, error: ApmatrixError) -> Refusal:
    """What was refused elsewhere than at a file of sysfs."""
    number = getattr(error, "errno", None)
    name = errno.errorcode.get(number, str(number)) if number else type(error).__name__
    return Refusal(system, action, name, str(error))
