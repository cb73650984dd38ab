"""The operations of tests/data/oracle/sysops.c, run in process on a LinuxSystem.

The output is byte for byte what the C program prints, so that a transcript recorded on a real kernel can be
compared line by line.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from apmatrix.arch import ApmatrixError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apmatrix.linux import LinuxSystem

BUS_FILES = ("apmask", "aqmask", "bindings", "ap_domain")
MDEV_FILES = ("matrix", "guest_matrix", "control_domains", "ap_config")
MATRIX = "devices/vfio_ap/matrix"
TYPE = f"{MATRIX}/mdev_supported_types/vfio_ap-passthrough"

_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|.)", re.DOTALL)


def errno_name(error: OSError) -> str:
    """The name of an errno, as the C program prints it."""
    code = error.errno or 0
    return errno.errorcode.get(code, f"errno{code}").replace("ENOTSUP", "EOPNOTSUPP")


def escape(data: bytes) -> str:
    """Printable text for ``data``."""

    def one(byte: int) -> str:
        if byte == 0x0A:
            return "\\n"
        if byte == 0x5C:
            return "\\\\"
        return chr(byte) if 32 <= byte <= 126 else f"\\x{byte:02x}"

    return "".join(map(one, data))


def unescape(text: str) -> bytes:
    """The bytes that an operation line's data stand for."""

    def one(found: re.Match[bytes]) -> bytes:
        word = found[1]
        if word[:1] == b"x" and len(word) > 1:
            return bytes([int(word[1:], 16)])
        return {b"n": b"\n", b"t": b"\t"}.get(word, word)

    return _ESCAPE.sub(one, text.encode("latin-1"))


class SysOps:
    """Runs operation lines on ``system`` and yields the output lines."""

    def __init__(self, system: LinuxSystem) -> None:
        self.system = system
        self.sysfs = system.sysfs

    def run(self, line: str) -> Iterator[str]:
        """The output of one script line: the line itself, then the answer."""
        yield line
        operation, path, data = line[:1], *[*line[2:].split(" ", 1), ""][:2]
        if operation == "S":
            yield from self.snapshot()
        elif line and operation != "#":
            yield f"= {self.answers()[operation](path, data)}"

    def answers(self) -> dict[str, Callable[[str, str], str]]:
        """The operations that answer with one line."""
        return {
            "W": self.write,
            "R": lambda path, _: self.show(path),
            "D": lambda path, _: self.driver(path),
            "L": lambda path, _: self.names(path),
            "G": lambda uuid, _: self.start_guest(uuid),
            "g": lambda uuid, _: self.stop_guest(uuid),
        }

    def write(self, path: str, data: str) -> str:
        """One write(2)."""
        try:
            return f"ok {self.sysfs.write(path, unescape(data))}"
        except OSError as error:
            return errno_name(error)

    def show(self, path: str) -> str:
        """The whole file, quoted, or the errno."""
        try:
            return f'"{escape(self.sysfs.read(path))}"'
        except OSError as error:
            return errno_name(error)

    def driver(self, path: str) -> str:
        """The name of the bound driver."""
        try:
            return self.sysfs.readlink(f"{path}/driver").rpartition("/")[2]
        except OSError:
            return "-"

    def names(self, path: str) -> str:
        """The names in a directory."""
        try:
            return "".join(f"{name} " for name in sorted(self.sysfs.list(path)))
        except OSError as error:
            return errno_name(error)

    def start_guest(self, uuid: str) -> str:
        """A VM opens the mdev and resets it, as QEMU does when it realizes the device."""
        try:
            self.system.vmm.start(uuid)
        except (OSError, ApmatrixError):
            return "rc 1"
        return "rc 0"

    def stop_guest(self, uuid: str) -> str:
        """The VM that holds the mdev ends."""
        try:
            self.system.vmm.find(uuid).stop()
        except ApmatrixError:
            return "rc 1"
        return "rc 0"

    def snapshot(self) -> Iterator[str]:
        """Masks, bindings, every queue's driver and status, every mdev's attributes."""
        for name in BUS_FILES:
            yield f"  {name} {self.show(f'bus/ap/{name}')}"
        for name in sorted(self.sysfs.list("bus/ap/devices")):
            if len(name) == 7 and name[2] == ".":
                path = f"bus/ap/devices/{name}"
                yield f"  {name} {self.driver(path)} {self.show(f'{path}/status')}"
        for name in sorted(self.sysfs.list(MATRIX)):
            if len(name) == 36 and name[8] == name[13] == "-":
                yield f"  {name}"
                for attribute in MDEV_FILES:
                    yield f"    {attribute} {self.show(f'{MATRIX}/{name}/{attribute}')}"
        yield f"  available {self.show(f'{TYPE}/available_instances')}"


def is_answer(line: str) -> bool:
    """True for a line that the C program printed below an operation."""
    return line[:1] in ("=", " ")
