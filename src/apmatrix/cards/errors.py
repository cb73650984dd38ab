"""The root of the cards' errors, and how a fault of our own is reported."""

from __future__ import annotations

import sys
import threading

from apmatrix.arch import ApmatrixError


class CardError(ApmatrixError):
    """An adapter cannot be made or used as asked; the text says which one and what to do.

    Its subclasses are beside what raises them; :mod:`apmatrix.arch.errors` draws them all.
    """


def report_fault() -> None:
    """Report the exception being handled the way a dying thread does, so that the thread can go on."""
    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
