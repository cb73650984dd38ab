"""QEMU as a child process: a machine that is stopped at its first instruction, with three channels to it.

The debugger stub and the console are connected sockets from the start, the storage is shared memory; no name in
the file system is used, so nothing is left behind however we or QEMU end. QEMU ends with the thread that started it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from apmatrix.arch import Facility
from apmatrix.faces.boot.errors import QemuError
from apmatrix.faces.boot.handler import RESERVED
from apmatrix.faces.boot.storage import Storage, make_storage
from apmatrix.faces.gdb import GdbClient

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from apmatrix.faces.boot.image import StandAloneImage

PROGRAM = "qemu-system-s390x"
MEBIBYTE = 1 << 20
_OFFERED_TO_LINUX = {Facility.QCI, Facility.APFT}
"""Without 65 Linux polls for replies: interruptions cannot be delivered."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """The machine that QEMU emulates, and what it starts: a kernel and the content of its initramfs, if it has one.

    ``facilities`` are those of AP that the machine has, ``storage`` is in MiB. ``stand_alone`` is what is in the
    kernel's file if it is not Linux.
    """

    kernel: Path
    initrd: bytes | None = field(repr=False)
    facilities: frozenset[int] = frozenset()
    storage: int = 512
    processors: int = 1
    program: str = PROGRAM
    stand_alone: StandAloneImage | None = field(default=None, repr=False)

    @property
    def kernel_parameters(self) -> str:
        """Linux's command line: it keeps the end of the storage free, and names the facilities that are offered."""
        usable = self.storage * MEBIBYTE - RESERVED
        offered = ",".join(str(int(facility)) for facility in sorted(self.facilities & _OFFERED_TO_LINUX))
        words = ["rdinit=/init", "console=ttysclp0", f"mem={usable // 1024}k"]
        return " ".join([*words, *([f"facilities={offered}"] if offered else [])])


def find_qemu(program: str = PROGRAM) -> str:
    """The path of QEMU for s390x; QemuError, which says what to install, if it is missing."""
    if (found := shutil.which(program)) is None:
        raise QemuError(
            f"{program} is not installed: install Debian's qemu-system-misc (before Debian 13) or qemu-system-s390x"
        )
    return found


class Qemu:
    """A running QEMU. Use as a context manager: at the end the process is gone, whatever it did."""

    def __init__(self, hardware: Hardware) -> None:
        with ExitStack() as undo:
            program = find_qemu(hardware.program)
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
            undo.callback(self._errors.close)
            memory = make_storage(hardware.storage * MEBIBYTE)
            undo.callback(os.close, memory)
            self.storage = Storage(memory, hardware.storage * MEBIBYTE)
            undo.callback(self.storage.close)
            stub, its_stub = socket.socketpair()
            self.console, its_console = socket.socketpair()
            with its_stub, its_console, _in_storage(hardware.initrd or b"") as initrd:
                undo.callback(stub.close)
                undo.callback(self.console.close)
                fds = (memory, its_stub.fileno(), its_console.fileno(), initrd.fileno())
                self._process = subprocess.Popen(
                    [*_bound_to_us(), program, *_arguments(hardware, *fds)],
                    pass_fds=fds,
                    stdin=subprocess.DEVNULL,
                    stdout=self._errors,
                    stderr=self._errors,
                )
            self.stub = GdbClient(stub)
            self._undo = undo.pop_all()

    def __enter__(self) -> Qemu:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id of QEMU."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code of a process that has ended, negative for a signal."""
        return self._process.returncode

    def await_end(self, timeout: float) -> int | None:
        """The exit code of a process that is ending, negative for a signal; None if it is still running then."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End the process at once; the storage and the sockets stay until :meth:`close`."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process and release everything."""
        self.kill()
        self._undo.close()

    def complaint(self) -> str:
        """QEMU's error messages, on one line; empty if there are none."""
        if self._errors.closed:
            return ""
        self._errors.seek(0)
        return " ".join(self._errors.read().decode(errors="replace").split())


def _in_storage(content: bytes) -> BinaryIO:
    """An unnamed file with this content, in memory."""
    file = os.fdopen(os.memfd_create("initrd"), "w+b")
    file.write(content)
    file.flush()
    return file


def _bound_to_us() -> tuple[str, ...]:
    """A prefix that lets QEMU end with us even if we are killed; empty where util-linux lacks it."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()


def _arguments(hardware: Hardware, memory: int, stub: int, console: int, initrd: int) -> list[str]:
    size = f"{hardware.storage}M"
    files = ("-initrd", f"/proc/self/fd/{initrd}") if hardware.initrd is not None else ()
    linux = hardware.stand_alone is None
    more = ("-append", hardware.kernel_parameters) if linux else ("-d", "guest_errors")  # a crash of the program
    return [
        *("-machine", "s390-ccw-virtio,memory-backend=ram"),
        *("-object", f"memory-backend-file,id=ram,size={size},mem-path=/proc/self/fd/{memory},share=on"),
        *("-cpu", "max", "-m", size, "-smp", str(hardware.processors)),
        *("-nographic", "-nodefaults", "-monitor", "none"),
        *("-chardev", f"socket,id=console,fd={console}", "-device", "sclpconsole,chardev=console"),
        *("-chardev", f"socket,id=stub,fd={stub}", "-gdb", "chardev:stub", "-S"),
        *("-kernel", str(hardware.kernel), *files, *more),
    ]
