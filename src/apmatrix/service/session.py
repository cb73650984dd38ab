"""A command in a sandbox, seen from the machine: the faces that serve it until its connection ends."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from apmatrix.faces.devices import DevicesFace
from apmatrix.faces.fuse import mount
from apmatrix.faces.sysfs import SysfsFace
from apmatrix.faces.uevents import UeventRelay
from apmatrix.service.errors import ControlError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apmatrix.emulation import System

_CREDENTIALS: Final = struct.Struct("=iII")
_NETLINK_KOBJECT_UEVENT: Final = 15


def peer_process(connection: socket.socket) -> int:
    """The number of the process at the other end of a Unix socket; 0 if this PID namespace does not see it."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, _, _ = _CREDENTIALS.unpack(data)
    return int(process)


class Offer:
    """The descriptors that a client offers for a sandbox (``Sandbox.for_machine``), none of which is trusted.

    A context manager that closes, at its end, those that nobody has taken. Raises ControlError for others than those
    that a sandbox has; then nothing has been taken.
    """

    COUNT: Final = 7

    def __init__(self, descriptors: Sequence[int]) -> None:
        self._left = set(descriptors)
        self._sys, self._sys_context, self._nodes, self._nodes_context, *others = descriptors
        self._uevents, self._control, self._dev = others

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for descriptor in self._left:
            os.close(descriptor)

    def create(self) -> None:
        """Create both file systems, and see that the other descriptors are what they should be."""
        try:
            _check_socket(self._uevents, socket.AF_NETLINK, socket.SO_PROTOCOL, _NETLINK_KOBJECT_UEVENT)
            _check_socket(self._control, socket.AF_UNIX, socket.SO_ACCEPTCONN, 1)
            if not stat.S_ISDIR(os.fstat(self._dev).st_mode):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            mount.create(self._sys_context, self._sys)
            mount.create(self._nodes_context, self._nodes)
        except OSError as error:
            raise ControlError(
                f"these are not the descriptors of a new sandbox: {error.strerror}", ExitCode.UNREADABLE
            ) from error

    def take_sys(self) -> int:
        """The /dev/fuse of /sys."""
        return self._take(self._sys)

    def take_nodes(self) -> int:
        """The /dev/fuse of the device nodes."""
        return self._take(self._nodes)

    def take_dev(self) -> int:
        """The directory /dev."""
        return self._take(self._dev)

    def take_uevents(self) -> int:
        """The uevent socket."""
        return self._take(self._uevents)

    def take_listener(self) -> socket.socket:
        """The listening control socket."""
        return socket.socket(fileno=self._take(self._control))

    def _take(self, descriptor: int) -> int:
        self._left.remove(descriptor)
        return descriptor


def _check_socket(descriptor: int, family: int, option: int, value: int) -> None:
    found = socket.socket(fileno=descriptor)
    try:
        if found.family != family or found.getsockopt(socket.SOL_SOCKET, option) != value:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    finally:
        found.detach()


class Session:
    """Serves a sandbox's /sys and device nodes, and its uevents, to its commands."""

    def __init__(self, system: System, offer: Offer, target: str, settle: Callable[[], None]) -> None:
        """``target`` is where the sandbox mounts the device nodes. Raises ControlError for an unsuitable ``offer``.

        ``settle`` waits until all sessions know what happened: a write is answered once every program can see its
        effect.
        """
        offer.create()
        self.system = system
        self.face = SysfsFace(system.linux.sysfs, Path("/sys"), settle=settle)
        self.relay = UeventRelay(system.linux, offer.take_uevents())
        self.channels = []
        try:
            self.channels.append(self.face.serve(offer.take_sys(), f"sysfs of {system.name}"))
            devices = DevicesFace(system.linux, offer.take_dev(), target)
            self.channels.append(devices.serve(offer.take_nodes(), f"devices of {system.name}"))
        except BaseException:
            self.close()
            raise

    @property
    def bindings(self) -> list[str]:
        """The parts of the real /sys that are to be bound."""
        return self.face.merged.bindings() if self.face.merged else []

    def flush(self) -> None:
        """Wait until programs in there see everything that happened."""
        self.face.flush()
        self.relay.flush()

    def close(self) -> None:
        """End with the command: no request may wait any longer."""
        for channel in self.channels:
            channel.abort()
        self.relay.close()
