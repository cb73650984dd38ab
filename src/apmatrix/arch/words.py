"""Names of classes as words on the wire."""

from __future__ import annotations

import re


def dashed(name: str) -> str:
    """The word for a class name: ``start-guest`` for StartGuest."""
    return re.sub(r"\B(?=[A-Z])", "-", name).lower()
