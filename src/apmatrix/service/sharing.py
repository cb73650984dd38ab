"""The /etc that the commands of a system share: the machine keeps the mount between them, but never uses it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE: Final = 20.0
"""Seconds that a command waits for another one that has the mount, and may have been stopped."""

_DIRECTORIES: Final = 64
"""How many names of work directories there are before the first is used again."""


class SharedMount:
    """A mount that is handed from command to command, until the last one has ended.

    It owns the descriptors that it is given. ``ended`` is called whenever the last command has ended, and before
    there is another one.
    """

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended
        self._free = threading.Condition()
        self._borrower: object | None = None
        self._users: set[object] = set()
        self._descriptor: int | None = None
        self._taken = 0

    def take(self, user: object) -> tuple[int | None, str]:
        """The mount for ``user``, which owns the descriptor from now on, and a name for a work directory of its own.

        No descriptor if ``user`` has to make the mount: others have to wait for that, too. The name is for a user
        that has to make one, or cannot use this one; mounts that are still in use have other work directories.
        """
        with self._free:
            self._free.wait_for(lambda: self._borrower is None, _PATIENCE)
            self._borrower = user
            self._users.add(user)
            descriptor, self._descriptor = self._descriptor, None
            self._taken = (self._taken + 1) % _DIRECTORIES
            return descriptor, f"work{self._taken}"

    def give(self, user: object, descriptor: int | None) -> None:
        """Take the mount back from ``user``."""
        with self._free:
            if self._borrower is user:
                self._keep(descriptor)
            elif descriptor is not None:  # it came too late
                os.close(descriptor)
            self._release(user)

    def leave(self, user: object) -> None:
        """End ``user``. The mount ends with the last one, so that the next one sees the computer's /etc."""
        with self._free:
            if user not in self._users:
                return
            self._users.remove(user)
            self._release(user)
            if not self._users:
                self._keep(None)
                self._ended()

    def _release(self, user: object) -> None:
        if self._borrower is user:
            self._borrower = None
            self._free.notify()

    def _keep(self, descriptor: int | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = descriptor
