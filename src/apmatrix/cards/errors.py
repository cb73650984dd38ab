"""The root of the cards' errors, and how faults of apmatrix itself are reported."""

from __future__ import annotations

import sys
import threading

from apmatrix.arch import ApmatrixError


class CardError(ApmatrixError):
    """An adapter cannot be created or used as asked; the text says which one and what to do.

    Its subclasses are beside what raises them; :mod:`apmatrix.arch.errors` draws them all.
    """


def report_fault() -> None:
    """Report the exception being handled as a dying thread would, so that the thread can go on."""
    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
