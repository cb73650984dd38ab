"""Archives that Linux unpacks as its initramfs: cpio, format newc."""

from __future__ import annotations

import stat
from pathlib import PurePosixPath

_MAGIC = "070701"
_TRAILER = "TRAILER!!!"
_ALIGNMENT = 4


class Archive:
    """A file system in memory. Parent directories are added automatically. Everything belongs to root."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[int, bytes]] = {}

    def __contains__(self, path: str) -> bool:
        return path.strip("/") in self._entries

    def directory(self, path: str) -> None:
        """Add a directory and its parents."""
        parts = PurePosixPath(path.strip("/"))
        for each in reversed((parts, *parts.parents)):
            if str(each) != ".":
                self._entries.setdefault(str(each), (stat.S_IFDIR | 0o755, b""))

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Add a file, or replace the one of that name."""
        self._add(path, stat.S_IFREG | mode, content)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def _add(self, path: str, mode: int, content: bytes) -> None:
        self.directory(str(PurePosixPath(path.strip("/")).parent))
        self._entries[path.strip("/")] = (mode, content)

    def __bytes__(self) -> bytes:
        out = bytearray()
        for number, (name, (mode, content)) in enumerate(self._entries.items(), 1):
            _append(out, name, number, mode, content)
        _append(out, _TRAILER, 0, 0, b"")
        return bytes(out)


def _append(out: bytearray, name: str, inode: int, mode: int, content: bytes) -> None:
    path = name.encode() + b"\0"
    # inode, mode, uid, gid, links, mtime, size, device numbers (4), length of the name, checksum
    fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    out += _MAGIC.encode() + b"".join(b"%08x" % field for field in fields) + path
    out += bytes(-len(out) % _ALIGNMENT)
    out += content
    out += bytes(-len(out) % _ALIGNMENT)
