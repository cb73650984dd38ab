"""A command in a place of its own: from the fork to the exit code.

Two small processes stand between the machine and the command. The *doorkeeper* makes the namespaces and waits. Its
only child, number 1 of a PID namespace, starts the command, takes over orphans, and ends when the command ends;
the kernel then kills whatever else still runs in there. If the machine dies the doorkeeper gets SIGKILL, if that
dies number 1 does: nothing can outlive the machine.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from apmatrix.arch import ApmatrixError
from apmatrix.faces.libc import MountFlag, die_with_parent, mount
from apmatrix.faces.lines import ControlError
from apmatrix.faces.namespaces import Furniture, NamespaceError, enter, furnish

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apmatrix.faces.lines import Lines

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
REFUSED: Final = 1
KILLED: Final = 128
"""Exit codes as a shell gives them; a signal's number is added to the last."""

UDEVD: Final = ("/lib/systemd/systemd-udevd", "/usr/lib/systemd/systemd-udevd", "/sbin/udevd")
_UDEV_CONTROL: Final = Path("/run/udev/control")
_UDEV_START: Final = 10.0


@dataclass(frozen=True, slots=True)
class Command:
    """What is to be run: ``system`` names one of the machine's Linux systems, ``udev`` wants a private udevd.

    ``keep`` are directories in /usr or /var that are to stay the computer's.
    """

    arguments: tuple[str, ...]
    machine: str
    system: str | None = None
    udev: bool = False
    keep: tuple[str, ...] = ()


class _ByMachine:
    """The /etc of a system's commands, which its machine keeps for the next one: a Handover."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def take(self) -> tuple[int | None, str]:
        """From the command before."""
        answer = self._lines.request({"op": "take etc"})
        descriptors = self._lines.take_descriptors(answer["comes"])
        return descriptors[0] if descriptors else None, answer["work"]

    def give(self, descriptor: int | None) -> None:
        """To the next one."""
        descriptors = [] if descriptor is None else [descriptor]
        self._lines.request({"op": "give etc", "comes": len(descriptors)}, descriptors)
        for each in descriptors:
            os.close(each)


def keep_door(command: Command, lines: Lines, parent: int) -> NoReturn:
    """Be the doorkeeper, in a process with one thread; ends it with the command's exit code."""
    try:
        status = _attend(command, lines, parent)
    except ControlError as error:
        print(f"apmatrix: {error}", file=sys.stderr)
        status = error.code
    except ApmatrixError as error:
        print(f"apmatrix: {error}", file=sys.stderr)
        status = REFUSED
    except OSError as error:
        print(f"apmatrix: a private /sys cannot be made: {error.filename}: {error.strerror}", file=sys.stderr)
        status = REFUSED
    os._exit(status)


def _attend(command: Command, lines: Lines, parent: int) -> int:
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    here = _here()
    rooms = enter(command.machine)
    _follow(parent)
    answer = lines.request({"op": "attach", "system": command.system}, rooms.for_machine)
    rooms.leave_to_machine()
    # A directory below /var that somebody works in is that user's, not the system's.
    keep = (*command.keep, *([str(here)] if here.is_relative_to("/var") else []))
    furnish(rooms, Furniture(command.machine, tuple(answer["bindings"]), answer["state"], keep), _ByMachine(lines))
    _go(here)
    first = os.fork()
    if first == 0:
        _be_first(command, lines)
    if not _outlived(first, lines):
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
        raise NamespaceError("the machine ended, and so did the command")
    _, status = os.waitpid(first, 0)
    return exit_code(status)


def _here() -> Path:
    """The current directory; the root if it is gone."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/")


def _go(directory: Path) -> None:
    """Enter a directory again, by its name: what was mounted over it counts. The root if there is none now."""
    try:
        os.chdir(directory)
    except OSError:
        os.chdir("/")


def _outlived(first: int, lines: Lines) -> bool:
    """Wait for the end of number 1 or of the machine; False if the machine ended first."""
    with os.fdopen(os.pidfd_open(first)) as ended:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.register(lines.connection, select.POLLRDHUP)
        return ended.fileno() in dict(poll.poll())


def _follow(parent: int) -> None:
    """Die with the parent, also if it is dead already."""
    die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(KILLED + signal.SIGKILL)


def _be_first(command: Command, lines: Lines) -> NoReturn:
    """Be number 1 of the PID namespace."""
    status = REFUSED
    try:
        die_with_parent(signal.SIGKILL)
        # Where /proc is masked, as in containers, the outer one stays, which works too.
        with contextlib.suppress(OSError):
            mount("proc", "/proc", "proc", MountFlag.NO_SUID | MountFlag.NO_DEVICES | MountFlag.NO_EXEC)
        environment = _environment(command)
        if command.udev:
            udevadm = _start_udevd(environment)
            start = 0
            while start is not None:
                start = lines.request({"op": "replay", "start": start})
                _udevadm(udevadm, environment, "settle", "--timeout=30")
        status = _run(command.arguments, environment)
        # Processes that wait in a blocked write cannot die: the machine must let them go first.
        lines.request({"op": "detach"})
    except ApmatrixError as error:
        print(f"apmatrix: {error}", file=sys.stderr)
    finally:
        os._exit(status)


def _environment(command: Command) -> dict[str, str]:
    """What the command gets: this program in its path, and the machine's name for it."""
    path = os.environ.get("PATH", os.defpath)
    if shutil.which("apmatrix", path=path) is None:
        path = f"{path}:{Path(sys.argv[0]).resolve().parent}"
    own = {"PATH": path, "APMATRIX_MACHINE": command.machine, "SYSTEMD_DEVICE_VERIFY_SYSFS": "0"}
    return {**os.environ, **own}


def _run(arguments: tuple[str, ...], environment: Mapping[str, str]) -> int:
    child = os.fork()
    if child == 0:
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        try:
            os.execvpe(arguments[0], arguments, environment)
        except OSError as error:
            print(f"apmatrix: {arguments[0]}: {error.strerror}", file=sys.stderr)
            os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE)
    while True:
        process, status = os.wait()
        if process == child:
            return exit_code(status)


def exit_code(status: int) -> int:
    """A wait status as a shell's exit code."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else KILLED - code


def _start_udevd(environment: Mapping[str, str]) -> str:
    """Start a udevd and wait until it is ready; the path of its udevadm."""
    program = next((path for path in UDEVD if Path(path).exists()), None)
    if program is None:
        raise NamespaceError("--udev needs systemd-udevd, which is not installed: apt install udev")
    null = subprocess.DEVNULL
    subprocess.Popen([program], env=environment, stdin=null, stdout=null, stderr=null, start_new_session=True)
    udevadm = shutil.which("udevadm", path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")
    end = time.monotonic() + _UDEV_START
    # Its socket is there before it listens to the kernel: only an answer says that it does.
    while not (udevadm and _UDEV_CONTROL.exists() and _udevadm(udevadm, environment, "control", "--ping")):
        if not udevadm or time.monotonic() > end:
            raise NamespaceError(f"{program} does not start: run it with --debug in apmatrix shell to see why")
        time.sleep(0.01)
    return udevadm


def _udevadm(program: str, environment: Mapping[str, str], *words: str) -> bool:
    done = subprocess.run([program, *words], env=environment, stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0
