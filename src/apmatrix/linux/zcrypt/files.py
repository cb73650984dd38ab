"""Open zcrypt device nodes: what a face needs to serve ``/dev/z90crypt`` to programs."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from apmatrix.linux.zcrypt import ioctls
from apmatrix.linux.zcrypt.byteorder import ByteOrder
from apmatrix.linux.zcrypt.memory import Caller, UserMemory
from apmatrix.rules.refusals import Failed

if TYPE_CHECKING:
    from apmatrix.linux.core import Task
    from apmatrix.linux.system import LinuxSystem
    from apmatrix.linux.zcrypt.nodes import ZcryptNodes


class ZcryptFile:
    """An open node of ``system``, whose programs have structures in ``order``; Refused ENOENT for an unknown node.

    All errors are Refused with the errno that the program gets. A node that is destroyed goes on working for who
    has it open, with its masks, as in the kernel. Calls from several threads are fine.
    """

    def __init__(self, system: LinuxSystem, name: str, order: ByteOrder = ByteOrder.LITTLE) -> None:
        self._system = system
        self._order = order
        self._nodes: ZcryptNodes = system.zcrypt_nodes
        self._node = self._nodes.take(name)

    def ioctl(self, number: int, argument: int, memory: UserMemory, task: Task | None = None) -> int:
        """Do an ioctl and wait for its end; 0. ``argument`` is an address in ``memory``.

        A signal for ``task`` ends the wait with EINTR.
        """
        caller = Caller(memory, self._order)
        ioctls.handle(number, ioctls.IoctlCall(self._system, self._node.permissions, caller, argument, task))
        return 0

    def read(self, _length: int) -> bytes:
        """Nothing can be read."""
        raise Failed("zcrypt nodes cannot be read", number=errno.EPERM)

    def write(self, _data: bytes) -> int:
        """Nothing can be written."""
        raise Failed("zcrypt nodes cannot be written", number=errno.EPERM)

    def close(self) -> None:
        """Give the node back; once."""
        self._nodes.give_back(self._node)
