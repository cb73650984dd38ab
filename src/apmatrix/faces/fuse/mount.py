"""Mounting a FUSE file system in three steps, which two processes share.

The kernel names the processes that make requests by their numbers in the PID namespace of the process that creates
the superblock. So the server creates it, and the numbers are those of its own namespace, whatever namespaces the
mount is used in. The process that mounts prepares the file system in its own mount and user namespace, and attaches
the result.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from apmatrix.faces.libc import (
    MountFlag,
    attach_mount,
    create_superblock,
    mount_superblock,
    open_filesystem,
    set_option,
)

_SOURCE: Final = "apmatrix"
_OPTIONS: Final = {"source": _SOURCE, "rootmode": "40755", "user_id": "0", "group_id": "0"}
_FLAGS: Final = ("default_permissions", "allow_other")
_CONTEXT: Final = Path("anon_inode:[fscontext]")


def prepare() -> int:
    """A file system context for the calling process's namespaces; OSError, EPERM without the right to mount."""
    context = open_filesystem("fuse")
    for key, value in _OPTIONS.items():
        set_option(context, key, value)
    for flag in _FLAGS:
        set_option(context, flag)
    return context


def create(context: int, device: int) -> None:
    """Create the file system of a prepared ``context``, to be served by the caller on ``device``, an open /dev/fuse.

    OSError (EINVAL, EBUSY) unless both are what they should be and new.
    """
    if Path(f"/proc/self/fd/{context}").readlink() != _CONTEXT:
        raise OSError(errno.EINVAL, "not a file system context")
    set_option(context, "fd", str(device))
    create_superblock(context)


def attach(context: int, target: str) -> None:
    """Mount the created file system at ``target`` and close ``context``; OSError if it has not been created."""
    flags = MountFlag.NO_SUID | MountFlag.NO_DEVICES | MountFlag.NO_EXEC
    try:
        descriptor = mount_superblock(context, flags)
    finally:
        os.close(context)
    try:
        attach_mount(descriptor, target)
    finally:
        os.close(descriptor)
