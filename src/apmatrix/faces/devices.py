"""Device nodes of an emulated system: ``/dev/z90crypt``, more zcrypt nodes, ``/dev/hwrng``.

CUSE, which would make real character devices, is missing in many kernels. So the nodes are files of a FUSE file
system with ioctls, and /dev has links to them. Of an ioctl the kernel passes on a number and an address; the data
there is fetched from the calling process.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
import sys
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from apmatrix.faces.fuse import wire
from apmatrix.faces.fuse.channel import Channel
from apmatrix.faces.fuse.wire import Attributes, Entry, FuseOpcode, OpenFlag
from apmatrix.faces.node_links import NodeLinks
from apmatrix.faces.process import ProcessMemory
from apmatrix.linux.zcrypt import ByteOrder
from apmatrix.rules.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apmatrix.faces.fuse import FuseRequest
    from apmatrix.linux import LinuxSystem
    from apmatrix.linux.core import Task, Uevent
    from apmatrix.linux.zcrypt import UserMemory

_ROOT: Final = 1
_ORDER: Final = ByteOrder.LITTLE if sys.byteorder == "little" else ByteOrder.BIG
_HEADER: Final = wire.TRANSFER.size


class DeviceFile(Protocol):
    """An open device."""

    def ioctl(self, number: int, argument: int, memory: UserMemory, task: Task | None = None) -> int:
        """Do an ioctl; raises Refused."""

    def read(self, length: int, task: Task | None = None) -> bytes:
        """Read up to ``length`` bytes; raises Refused, EINTR for a signal for ``task``."""

    def write(self, data: bytes) -> int:
        """Write ``data``, return how much was taken; raises Refused."""

    def close(self) -> None:
        """Close the file: its last user is gone."""


class _Random:
    """An open ``/dev/hwrng``."""

    def __init__(self, system: LinuxSystem, how: int) -> None:
        """``how`` are the flags of open(2); OSError (EINVAL) if they ask for writing."""
        if how & os.O_ACCMODE != os.O_RDONLY:
            raise _error(errno.EINVAL)
        self._device = system.hwrng

    def ioctl(self, _number: int, _argument: int, _memory: UserMemory, _task: Task | None = None) -> int:
        """Refuse: the device has no ioctls."""
        raise _error(errno.ENOTTY)

    def read(self, length: int, task: Task | None = None) -> bytes:
        """Read ``length`` random bytes."""
        return self._device.read(length, task)

    def write(self, _data: bytes) -> int:
        """Refuse to write: EINVAL."""
        raise _error(errno.EINVAL)

    def close(self) -> None:
        """Do nothing: an open device has no state."""


class DevicesFace:
    """Serves one system's device nodes on one FUSE connection, and keeps a directory with links to them."""

    def __init__(self, system: LinuxSystem, directory: int, target: str) -> None:
        """``directory`` is an open /dev; the links in it lead to ``target``, where the face will be mounted."""
        self._system = system
        self._links = NodeLinks(directory, target)
        self._channel: Channel | None = None
        self._names = [""]
        self._files: dict[int, DeviceFile] = {}
        self._handles = itertools.count(1)

    def serve(self, device: int, name: str = "devices") -> Channel:
        """Serve an open ``/dev/fuse``, in threads of its own, until it is unmounted."""
        self._channel = Channel(device, self, name)
        with self._system.kernel:
            self._unsubscribe = self._system.uevents.subscribe(self._follow)
            self._links.update(self._modes())
        self._channel.start()
        return self._channel

    @property
    def operations(self) -> Mapping[int, Callable[[FuseRequest], bytes | None]]:
        """The operations that are served, by opcode."""
        return {
            FuseOpcode.LOOKUP: self._lookup,
            FuseOpcode.FORGET: lambda _request: None,
            FuseOpcode.BATCH_FORGET: lambda _request: None,
            FuseOpcode.GETATTR: lambda request: bytes(self._attributes(request.node)),
            FuseOpcode.SETATTR: lambda request: bytes(self._attributes(request.node)),
            FuseOpcode.OPEN: self._open,
            FuseOpcode.READ: lambda request: self._later(request, self._read),
            FuseOpcode.WRITE: lambda request: self._later(request, self._write),
            FuseOpcode.IOCTL: lambda request: self._later(request, self._ioctl),
            FuseOpcode.RELEASE: self._release,
        }

    def interrupt(self, request: FuseRequest) -> None:
        """Pass a signal on to the emulated kernel."""
        self._system.kernel.signal(request.task)

    def ended(self) -> None:
        """Close everything: the file system and its users are gone."""
        with self._system.kernel:
            self._unsubscribe()
            self._links.close()
        while self._files:
            _, file = self._files.popitem()
            file.close()

    def _modes(self) -> dict[str, int]:
        nodes = {name: node.mode for name, node in self._system.zcrypt_nodes.in_dev.items()}
        return {**nodes, self._system.hwrng.device_name: self._system.hwrng.mode}

    def _follow(self, event: Uevent) -> None:
        """Look at the nodes again; called under the system's lock. An event may be synthetic, and proves nothing."""
        if "DEVNAME" in event.env:
            self._links.update(self._modes())

    # requests

    def _attributes(self, number: int) -> Attributes:
        if number == _ROOT:
            return Attributes(number, stat.S_IFDIR | 0o755)
        mode = self._modes().get(self._names[number - 1], 0o600)
        return Attributes(number, stat.S_IFREG | mode)

    def _lookup(self, request: FuseRequest) -> bytes:
        name = request.body[:-1].decode(errors="surrogateescape")
        if name not in self._modes():
            raise _error(errno.ENOENT)
        if name not in self._names:
            self._names.append(name)
        return bytes(Entry(self._attributes(self._names.index(name) + 1), valid=0))

    def _open(self, request: FuseRequest) -> bytes:
        name = self._names[request.node - 1]
        how, _ = wire.OPEN_REQUEST.unpack_from(request.body)
        flags = OpenFlag.DIRECT_IO | OpenFlag.NO_FLUSH | OpenFlag.PARALLEL_DIRECT_WRITES
        file: DeviceFile
        try:
            if name == self._system.hwrng.device_name:
                file = _Random(self._system, how)
            else:
                file = self._system.zcrypt_nodes.open(name, _ORDER)
                flags |= OpenFlag.STREAM
        except Refused as refused:
            raise refused.as_oserror() from refused
        handle = next(self._handles)
        self._files[handle] = file
        return wire.OPEN_REPLY.pack(handle, flags, 0)

    def _release(self, request: FuseRequest) -> bytes:
        (handle,) = wire.RELEASE.unpack_from(request.body)
        self._files.pop(handle).close()
        return b""

    def _later(self, request: FuseRequest, work: Callable[[FuseRequest], bytes]) -> None:
        """Do ``work`` on another thread: requests to cards take time, and others must not wait."""
        assert self._channel
        self._channel.defer(request, work)

    def _read(self, request: FuseRequest) -> bytes:
        handle, _, size = wire.TRANSFER.unpack_from(request.body)
        try:
            return self._files[handle].read(size, request.task)
        except Refused as refused:
            raise refused.as_oserror() from refused

    def _write(self, request: FuseRequest) -> bytes:
        handle, _, size = wire.TRANSFER.unpack_from(request.body)
        try:
            taken = self._files[handle].write(request.body[_HEADER : _HEADER + size])
        except Refused as refused:
            raise refused.as_oserror() from refused
        return wire.WRITE_REPLY.pack(taken, 0)

    def _ioctl(self, request: FuseRequest) -> bytes:
        handle, _, number, argument, _, _ = wire.IOCTL_REQUEST.unpack_from(request.body)
        assert self._channel
        try:
            with ProcessMemory(request.process, partial(self._channel.waits, request)) as memory:
                result = self._files[handle].ioctl(number, argument, memory, request.task)
        except Refused as refused:
            raise refused.as_oserror() from refused
        return wire.IOCTL_REPLY.pack(result, 0, 0, 0)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
