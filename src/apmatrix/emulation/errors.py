"""Errors of an emulated machine's administration.

ApmatrixError
├── UnknownGuest    no guest or mdev has the name that was given, or several have it
├── KeysRefused     a command about master keys was refused
└── TestbedError    a record or a replay cannot be started, stopped or compared
    └── TestbedActive    it is already active, or it is not
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError

if TYPE_CHECKING:
    from apmatrix.arch import Apqn


class UnknownGuest(ApmatrixError):
    """No guest or mdev of the machine has the name that was given, or several have it."""


class KeysRefused(ApmatrixError):
    """A command about master keys was refused; the text says what refused it, with which code, and what to do.

    ``apqn`` is the domain whose keys it is about, if it is about one.
    """

    def __init__(self, sentence: str, apqn: Apqn | None = None) -> None:
        super().__init__(sentence)
        self.apqn = apqn


class TestbedError(ApmatrixError):
    """A record or a replay cannot be started, stopped or compared; the text says what to do."""

    __test__ = False  # for pytest


class TestbedActive(TestbedError):
    """What is to be started is already active, or what is to be stopped is not."""
