"""Errors of the cards' room.

ApmatrixError
└── CardError       an adapter cannot be made or used as asked
"""

from __future__ import annotations

from apmatrix.arch import ApmatrixError


class CardError(ApmatrixError):
    """An adapter cannot be made or used as asked; the text says which one and what to do."""
