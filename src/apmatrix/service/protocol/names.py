"""How a request says which Linux system it means."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Scope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A guest, of ``lpar`` if that is given too; or else the LPAR."""

    lpar: str | None = None
    guest: str | None = None


SystemName: TypeAlias = str | Scope | None
"""An LPAR or a guest by its name, or one that must be what its option says; None for the default."""
