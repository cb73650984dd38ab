"""Errors of the cards' room.

ApmatrixError
└── CardError       an adapter cannot be made or used as asked
"""

from __future__ import annotations

import sys
import threading

from apmatrix.arch import ApmatrixError


class CardError(ApmatrixError):
    """An adapter cannot be made or used as asked; the text says which one and what to do."""


def report_fault() -> None:
    """Report the exception being handled the way a dying thread does, so that the thread can go on."""
    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
