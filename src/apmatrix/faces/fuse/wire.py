"""Formats of the FUSE protocol, version 7.31 and later (the kernel's ``include/uapi/linux/fuse.h``).

Numbers are in the byte order of the machine that runs apmatrix: both ends are on it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

VERSION: Final = (7, 31)
"""The protocol version that is offered; the kernel uses the lower of its own and this one."""

FOREVER: Final = 1 << 31
"""Seconds that names and attributes stay cached: until an invalidation says otherwise."""


class FuseOpcode(IntEnum):
    """The requests that are answered; every other one gets ENOSYS."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    CREATE = 35
    INTERRUPT = 36
    IOCTL = 39
    POLL = 40
    BATCH_FORGET = 42
    RENAME2 = 45
    TMPFILE = 51


class Notice(IntEnum):
    """Messages that a server sends unsolicited."""

    POLL = 1
    INVALIDATE_ENTRY = 3


class InitFlag(IntFlag):
    """Capabilities that server and kernel agree on."""

    BIG_WRITES = 1 << 5
    PARALLEL_DIROPS = 1 << 18
    CACHE_SYMLINKS = 1 << 23


class OpenFlag(IntFlag):
    """How the kernel treats an open file."""

    DIRECT_IO = 1 << 0
    STREAM = 1 << 4  # without a position: lseek(2) and pread(2) give ESPIPE
    NO_FLUSH = 1 << 5
    PARALLEL_DIRECT_WRITES = 1 << 6


class SetAttribute(IntFlag):
    """Which fields of a SETATTR request are valid."""

    MODE = 1 << 0
    USER = 1 << 1
    GROUP = 1 << 2


POLL_SCHEDULE_NOTIFY: Final = 1
"""In a POLL request: the kernel wants to be notified of the next change."""

REQUEST: Final = struct.Struct("=4xIQQ8xI4x")
REPLY: Final = struct.Struct("=IiQ")
INIT_REQUEST: Final = struct.Struct("=IIII")
INIT_REPLY: Final = struct.Struct("=IIIIHHIIHHII24x")
ENTRY: Final = struct.Struct("=QQQQII")
ATTRIBUTES: Final = struct.Struct("=QQQQQQIIIIIIIIII")
ATTRIBUTES_VALID: Final = struct.Struct("=QII")
SET_ATTRIBUTES: Final = struct.Struct("=II60xIIIII")
OPEN_REQUEST: Final = struct.Struct("=II")
OPEN_REPLY: Final = struct.Struct("=QII")
TRANSFER: Final = struct.Struct("=QQI20x")
WRITE_REPLY: Final = struct.Struct("=II")
RELEASE: Final = struct.Struct("=Q16x")
POLL_REQUEST: Final = struct.Struct("=QQII")
POLL_REPLY: Final = struct.Struct("=II")
IOCTL_REQUEST: Final = struct.Struct("=QIIQII")
IOCTL_REPLY: Final = struct.Struct("=iIII")
INTERRUPT: Final = struct.Struct("=Q")
FORGET: Final = struct.Struct("=Q")
FORGET_COUNT: Final = struct.Struct("=II")
FORGET_ONE: Final = struct.Struct("=QQ")
STATFS_REPLY: Final = struct.Struct("=QQQQQIIII24x")
DIRECTORY_ENTRY: Final = struct.Struct("=QQII")
NOTICE_POLL: Final = struct.Struct("=Q")
NOTICE_ENTRY: Final = struct.Struct("=QII")


@dataclass(frozen=True, slots=True)
class Attributes:
    """What ``stat`` shows of a node: ``mode`` with the file type, ``size`` in bytes, times in seconds."""

    node: int
    mode: int
    size: int = 0
    links: int = 1
    user: int = 0
    group: int = 0
    time: int = 0

    def packed(self) -> bytes:
        """The kernel's ``struct fuse_attr``."""
        seconds = self.time
        return ATTRIBUTES.pack(
            self.node,
            self.size,
            0,
            *(seconds, seconds, seconds, 0, 0, 0),
            self.mode,
            self.links,
            *(self.user, self.group),
            *(0, 4096, 0),
        )

    def __bytes__(self) -> bytes:
        return ATTRIBUTES_VALID.pack(FOREVER, 0, 0) + self.packed()


@dataclass(frozen=True, slots=True)
class Entry:
    """The answer to a LOOKUP: a node's number and attributes, cached ``valid`` seconds."""

    attributes: Attributes
    valid: int = FOREVER

    def __bytes__(self) -> bytes:
        node = self.attributes.node
        return ENTRY.pack(node, 0, self.valid, self.valid, 0, 0) + self.attributes.packed()


def directory_entries(entries: list[tuple[str, int, int]]) -> list[bytes]:
    """The READDIR records of ``(name, number, file type bits of the mode)``, in order."""
    records = []
    for offset, (name, number, kind) in enumerate(entries, 1):
        encoded = name.encode()
        head = DIRECTORY_ENTRY.pack(number, offset, len(encoded), kind >> 12)
        records.append(head + encoded + bytes(-len(encoded) % 8))
    return records
