"""An emulated Linux system's /sys as a mounted file system.

The kernel caches names and attributes forever, and is notified of every change of the tree: the reply to a write
waits until the kernel has taken the invalidations that the write caused, so the writer sees the new tree. The face
knows directories, files and links, but no devices.
"""

from __future__ import annotations

import errno
import itertools
import os
import time
from typing import TYPE_CHECKING, Final

from apmatrix.faces.fuse import wire
from apmatrix.faces.fuse.channel import Channel
from apmatrix.faces.fuse.wire import FuseOpcode, Notice, OpenFlag, SetAttribute
from apmatrix.faces.inodes import Inode, Inodes
from apmatrix.faces.overlay import Merged
from apmatrix.linux.core import ChangeKind, OpenFile
from apmatrix.linux.core.sysfs import Directory, File

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from apmatrix.faces.fuse import FuseRequest
    from apmatrix.linux.core import Sysfs, TreeChange

POLL_DEFAULT: Final = 0x001 | 0x004 | 0x040 | 0x100
"""POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM: what poll reports for every attribute."""

POLL_CHANGED: Final = 0x002 | 0x008
"""POLLPRI, POLLERR: notified since the last read."""

_HEADER: Final = wire.TRANSFER.size
_WANTED: Final = (0o444, 0o222, 0o666, 0o666)  # permissions that O_RDONLY, O_WRONLY, O_RDWR need
_OPEN_FLAGS: Final = int(OpenFlag.DIRECT_IO | OpenFlag.NO_FLUSH | OpenFlag.PARALLEL_DIRECT_WRITES)


class _OpenAttribute:
    """An open file: what was shown at the last read from the start, and the events seen by then."""

    __slots__ = ("content", "file", "inode", "poller", "seen")

    def __init__(self, inode: Inode, file: OpenFile) -> None:
        self.inode = inode
        self.file = file
        self.content: bytes | None = None
        self.seen = inode.events
        self.poller: int | None = None


class SysfsFace:
    """Serves one system's tree on one FUSE connection."""

    def __init__(self, sysfs: Sysfs, real: Path | None = None, settle: Callable[[], None] | None = None) -> None:
        """``real`` is the real machine's /sys, whose entries are shown beside the emulated ones.

        ``settle`` is called before a write is answered: it waits until others know what the write did.
        """
        self.sysfs = sysfs
        self.kernel = sysfs.kernel
        self.merged = Merged(real, lambda: sysfs.root) if real else None
        self.inodes = Inodes(self.merged or sysfs.root, int(time.time()))
        self._files: dict[int, _OpenAttribute] = {}
        self._directories: dict[int, list[bytes]] = {}
        self._handles = itertools.count(1)
        self._settle = settle
        self._channel: Channel | None = None
        self._unsubscribe: Callable[[], None] | None = None

    def serve(self, device: int, name: str = "sysfs") -> Channel:
        """Serve an open ``/dev/fuse``, in threads of its own, until it is unmounted."""
        self._channel = Channel(device, self, name, eager=True)
        with self.kernel:
            self._unsubscribe = self.sysfs.subscribe(self._changed)
        self._channel.start()
        return self._channel

    @property
    def operations(self) -> Mapping[int, Callable[[FuseRequest], bytes | None]]:
        """The operations that are served, by opcode."""
        changes_names: dict[int, Callable[[FuseRequest], bytes | None]] = dict.fromkeys(
            (
                *(FuseOpcode.MKNOD, FuseOpcode.MKDIR, FuseOpcode.SYMLINK, FuseOpcode.LINK, FuseOpcode.TMPFILE),
                *(FuseOpcode.UNLINK, FuseOpcode.RMDIR, FuseOpcode.RENAME, FuseOpcode.RENAME2),
            ),
            _not_permitted,
        )
        return {
            **changes_names,
            FuseOpcode.CREATE: _access_denied,
            FuseOpcode.LOOKUP: self._lookup,
            FuseOpcode.FORGET: self._forget,
            FuseOpcode.BATCH_FORGET: self._forget_many,
            FuseOpcode.GETATTR: self._get_attributes,
            FuseOpcode.SETATTR: self._set_attributes,
            FuseOpcode.READLINK: self._read_link,
            FuseOpcode.OPEN: self._open,
            FuseOpcode.READ: self._read,
            FuseOpcode.WRITE: self._write,
            FuseOpcode.RELEASE: self._release,
            FuseOpcode.OPENDIR: self._open_directory,
            FuseOpcode.READDIR: self._read_directory,
            FuseOpcode.RELEASEDIR: self._release_directory,
            FuseOpcode.POLL: self._poll,
            FuseOpcode.STATFS: _statfs,
        }

    def interrupt(self, request: FuseRequest) -> None:
        """Pass a signal on to the emulated kernel."""
        self.kernel.signal(request.task)

    def ended(self) -> None:
        """Unsubscribe: the file system is gone."""
        with self.kernel.lock:
            if self._unsubscribe:
                self._unsubscribe()
                self._unsubscribe = None

    def flush(self) -> None:
        """Wait until the kernel has taken every change made before."""
        if self._channel:
            self._channel.flush()

    # names

    def _lookup(self, request: FuseRequest) -> bytes:
        with self.kernel.lock:
            child = self.inodes.look_up(self.inodes[request.node], request.body[:-1].decode(errors="surrogateescape"))
        if child is None:
            raise _error(errno.ENOENT)
        return child.entry

    def _forget(self, request: FuseRequest) -> None:
        (lookups,) = wire.FORGET.unpack_from(request.body)
        with self.kernel.lock:
            self.inodes.forget(request.node, lookups)

    def _forget_many(self, request: FuseRequest) -> None:
        count, _ = wire.FORGET_COUNT.unpack_from(request.body)
        entries = request.body[wire.FORGET_COUNT.size :][: count * wire.FORGET_ONE.size]
        with self.kernel.lock:
            for number, lookups in wire.FORGET_ONE.iter_unpack(entries):
                self.inodes.forget(number, lookups)

    def _get_attributes(self, request: FuseRequest) -> bytes:
        return bytes(self.inodes[request.node].attributes)

    def _set_attributes(self, request: FuseRequest) -> bytes:
        valid, _, mode, _, user, group, _ = wire.SET_ATTRIBUTES.unpack_from(request.body)
        inode = self.inodes[request.node]
        # A size is accepted and ignored (O_TRUNC), and so are times.
        inode.change(
            permissions=mode if valid & SetAttribute.MODE else None,
            user=user if valid & SetAttribute.USER else None,
            group=group if valid & SetAttribute.GROUP else None,
        )
        return bytes(inode.attributes)

    def _read_link(self, request: FuseRequest) -> bytes:
        text = self.inodes[request.node].link_text
        if text is None:
            raise _error(errno.EINVAL)
        return text.encode()

    # files

    def _open(self, request: FuseRequest) -> bytes:
        flags, _ = wire.OPEN_REQUEST.unpack_from(request.body)
        inode = self.inodes[request.node]
        target = inode.target
        if not inode.alive:
            raise _error(errno.ENOENT)
        if not isinstance(target, File):
            raise _error(errno.EACCES)
        # sysfs checks the mode itself, so root is refused too.
        wanted = _WANTED[flags & os.O_ACCMODE]
        mode = inode.attributes.mode
        if (wanted & 0o444 and not mode & 0o444) or (wanted & 0o222 and not mode & 0o222):
            raise _error(errno.EACCES)
        handle = next(self._handles)
        self._files[handle] = _OpenAttribute(inode, OpenFile(self.sysfs, inode.name, target))
        return wire.OPEN_REPLY.pack(handle, _OPEN_FLAGS, 0)

    def _read(self, request: FuseRequest) -> bytes:
        handle, offset, size = wire.TRANSFER.unpack_from(request.body)
        opened = self._files[handle]
        if offset == 0 or opened.content is None:
            if not opened.inode.alive:
                raise _error(errno.ENODEV)
            opened.seen = opened.inode.events
            opened.content = opened.file.read(request.task)
        return opened.content[offset : offset + size]

    def _write(self, request: FuseRequest) -> bytes:
        handle, _, size = wire.TRANSFER.unpack_from(request.body)
        opened = self._files[handle]
        if not opened.inode.alive:
            raise _error(errno.ENODEV)
        try:
            taken = opened.file.write(request.body[_HEADER : _HEADER + size], request.task)
        finally:
            self.flush()
            if self._settle:
                self._settle()
        return wire.WRITE_REPLY.pack(taken, 0)

    def _release(self, request: FuseRequest) -> bytes:
        (handle,) = wire.RELEASE.unpack_from(request.body)
        opened = self._files.pop(handle)
        if opened.poller is not None:
            with self.kernel.lock:
                opened.inode.pollers.discard(opened.poller)
        return b""

    def _poll(self, request: FuseRequest) -> bytes:
        handle, kernel_handle, flags, _ = wire.POLL_REQUEST.unpack_from(request.body)
        opened = self._files[handle]
        with self.kernel.lock:
            if flags & wire.POLL_SCHEDULE_NOTIFY:
                opened.poller = kernel_handle
                opened.inode.pollers.add(kernel_handle)
            changed = opened.seen != opened.inode.events or not opened.inode.alive
        return wire.POLL_REPLY.pack(POLL_DEFAULT | (POLL_CHANGED if changed else 0), 0)

    # directories

    def _open_directory(self, request: FuseRequest) -> bytes:
        inode = self.inodes[request.node]
        with self.kernel.lock:
            if not inode.alive or not isinstance(inode.target, Directory | Merged):
                raise _error(errno.ENOENT)
            listing = self.inodes.listing(inode)
        handle = next(self._handles)
        self._directories[handle] = listing
        return wire.OPEN_REPLY.pack(handle, 0, 0)

    def _read_directory(self, request: FuseRequest) -> bytes:
        handle, offset, size = wire.TRANSFER.unpack_from(request.body)
        records = self._directories[handle]
        room = size
        end = offset
        for record in itertools.islice(records, offset, None):
            room -= len(record)
            if room < 0:
                break
            end += 1
        return b"".join(records[offset:end])

    def _release_directory(self, request: FuseRequest) -> bytes:
        (handle,) = wire.RELEASE.unpack_from(request.body)
        del self._directories[handle]
        return b""

    # changes

    def _changed(self, change: TreeChange) -> None:
        """Follow the tree; called under the system's lock."""
        directory = self.inodes.find(change.directory)
        if directory is None or self._channel is None:
            return
        if change.kind is ChangeKind.NOTIFY:
            self._notify(directory.children.get(change.name))
            return
        directory.listing = None
        if change.kind is ChangeKind.REMOVED or change.name in directory.children:
            for inode in self.inodes.kill(directory, change.name):
                self._invalidate(inode)

    def _invalidate(self, inode: Inode) -> None:
        assert self._channel
        assert inode.parent
        name = inode.name.encode()
        payload = wire.NOTICE_ENTRY.pack(inode.parent.number, len(name), 0) + name + b"\0"
        self._channel.notify(Notice.INVALIDATE_ENTRY, payload)
        self._notify(inode)

    def _notify(self, inode: Inode | None) -> None:
        """Wake the file's pollers."""
        if inode is None:
            return
        inode.events += 1
        for poller in inode.pollers:
            assert self._channel
            self._channel.notify(Notice.POLL, wire.NOTICE_POLL.pack(poller))
        inode.pollers.clear()


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _not_permitted(_request: FuseRequest) -> bytes:
    raise _error(errno.EPERM)


def _access_denied(_request: FuseRequest) -> bytes:
    raise _error(errno.EACCES)


def _statfs(_request: FuseRequest) -> bytes:
    return wire.STATFS_REPLY.pack(0, 0, 0, 0, 0, 4096, 255, 4096, 0)
