"""The few system calls that Python 3.11 lacks: mount, unshare, setns, prctl, and the mount calls of Linux 5.2."""

from __future__ import annotations

import ctypes
import os
from enum import IntFlag
from typing import Final

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_CAPBSET_DROP: Final = 24
_SYS_OPEN_TREE: Final = 428
_SYS_MOVE_MOUNT: Final = 429
_SYS_FSOPEN: Final = 430
_SYS_FSCONFIG: Final = 431
_SYS_FSMOUNT: Final = 432
_SYS_MOUNT_SETATTR: Final = 442
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000
_OPEN_TREE_CLONE: Final = 1
_MOVE_MOUNT_F_EMPTY_PATH: Final = 4
_FSOPEN_CLOEXEC: Final = 1
_FSMOUNT_CLOEXEC: Final = 1
_FSCONFIG_SET_FLAG: Final = 0
_FSCONFIG_SET_STRING: Final = 1
_FSCONFIG_CMD_CREATE: Final = 6
_MOUNT_ATTR_RDONLY: Final = 1


class Namespaces(IntFlag):
    """Kinds of namespaces for :func:`unshare`."""

    MOUNT = 0x00020000
    UTS = 0x04000000
    IPC = 0x08000000
    USER = 0x10000000
    PID = 0x20000000
    NETWORK = 0x40000000


class MountFlag(IntFlag):
    """Flags of :func:`mount`."""

    READ_ONLY = 1
    NO_SUID = 2
    NO_DEVICES = 4
    NO_EXEC = 8
    REMOUNT = 32
    BIND = 4096
    RECURSIVE = 16384
    PRIVATE = 1 << 18


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount a file system as mount(2) does; raises OSError with the target."""
    arguments = [text.encode() or None for text in (source, kind, options)]
    _check(_libc.mount(arguments[0], target.encode(), arguments[1], flags, arguments[2]), target)


def make_read_only(path: str) -> None:
    """Make a mount and all below it read-only; OSError, ENOSYS before Linux 5.12."""
    attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    flags = ctypes.c_uint(_AT_RECURSIVE)
    _check(
        _libc.syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, path.encode(), flags, ctypes.byref(attributes), size),
        path,
    )


def clone_mount(path: str) -> int:
    """A descriptor of a detached mount that shows what ``path`` shows; OSError ENOSYS before Linux 5.2."""
    flags = ctypes.c_uint(_OPEN_TREE_CLONE | os.O_CLOEXEC)
    descriptor = int(_libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, path.encode(), flags))
    _check(min(descriptor, 0), path)
    return descriptor


def attach_mount(descriptor: int, path: str) -> None:
    """Attach a detached mount, once; it may come from another namespace."""
    flags = ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)
    _check(_libc.syscall(_SYS_MOVE_MOUNT, descriptor, b"", _AT_FDCWD, path.encode(), flags), path)


def open_filesystem(kind: str) -> int:
    """A context in which a file system of this kind is configured; OSError ENOSYS before Linux 5.2."""
    descriptor = int(_libc.syscall(_SYS_FSOPEN, kind.encode(), ctypes.c_uint(_FSOPEN_CLOEXEC)))
    _check(min(descriptor, 0), kind)
    return descriptor


def set_option(context: int, key: str, value: str | None = None) -> None:
    """Set an option of a file system's context, or a flag if there is no ``value``; OSError with the option."""
    command = _FSCONFIG_SET_FLAG if value is None else _FSCONFIG_SET_STRING
    text = None if value is None else value.encode()
    _check(_libc.syscall(_SYS_FSCONFIG, context, ctypes.c_uint(command), key.encode(), text, 0), key)


def create_superblock(context: int) -> None:
    """Create the file system that is configured in a context; OSError."""
    command = ctypes.c_uint(_FSCONFIG_CMD_CREATE)
    _check(_libc.syscall(_SYS_FSCONFIG, context, command, None, None, 0), "file system context")


def mount_superblock(context: int, flags: MountFlag) -> int:
    """A descriptor of a detached mount of a context's file system; ``flags`` are NO_SUID, NO_DEVICES, NO_EXEC."""
    # These have the same values as the attributes that fsmount(2) takes.
    descriptor = int(_libc.syscall(_SYS_FSMOUNT, context, ctypes.c_uint(_FSMOUNT_CLOEXEC), ctypes.c_uint(flags)))
    _check(min(descriptor, 0), "file system context")
    return descriptor


def unshare(namespaces: Namespaces) -> None:
    """Leave these namespaces for new ones; a new PID namespace begins with the next child."""
    _check(_libc.unshare(namespaces), "unshare")


def enter_namespace(descriptor: int, kind: Namespaces) -> None:
    """Move to the namespace of a descriptor, which must be of this kind."""
    _check(_libc.setns(descriptor, kind), "setns")


def die_with_parent(signal: int) -> None:
    """Have this process get ``signal`` when the thread that created it ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0), "prctl")


def close_memory() -> None:
    """Let no other process of this user read or trace this one, and make its entries in /proc root's."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl")


def give_up(capability: int) -> None:
    """Take a capability from all programs that this process will start; OSError EPERM without the privilege."""
    _check(_libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0), "prctl")
