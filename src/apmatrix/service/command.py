"""A command in a sandbox: from the fork to the exit code.

Two small processes are between the machine and the command. The *supervisor* makes the namespaces and waits. Its only
child, the *init* process of a PID namespace, starts the command, takes over orphans, and ends when the command ends;
the kernel then kills whatever else is still running in there. If the machine dies, the supervisor gets SIGKILL; if
the supervisor dies, so does init: nothing can outlive the machine.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from apmatrix.arch import ApmatrixError
from apmatrix.faces.errors import SandboxError
from apmatrix.faces.libc import die_with_parent
from apmatrix.faces.namespaces import Mounts, complete, enter, mount_proc
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.protocol.session import Attach, Detach, GiveEtc, ReplayUevents, TakeEtc
from apmatrix.service.state import MACHINE_VARIABLE, SYSTEM_VARIABLE, sandbox_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from apmatrix.service.client import Client
    from apmatrix.service.protocol.names import SystemName

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126
KILLED: Final = 128
"""Exit codes as a shell gives them; a signal's number is added to the last."""

INTERRUPTIONS: Final = frozenset({signal.SIGINT, signal.SIGQUIT})
"""What a terminal sends to all processes of a command."""

UDEVD: Final = ("/lib/systemd/systemd-udevd", "/usr/lib/systemd/systemd-udevd", "/sbin/udevd")
_UDEV_CONTROL: Final = Path("/run/udev/control")
_UDEV_START: Final = 10.0


@dataclass(frozen=True, slots=True)
class Command:
    """What is to be run: ``system`` names one of the machine's Linux systems, ``udev`` asks for a private udevd.

    ``keep`` are directories in /usr or /var that stay the computer's. ``interactive`` says that it is a shell on a
    terminal, whose user is told where it is.
    """

    arguments: tuple[str, ...]
    machine: str
    system: SystemName = None
    udev: bool = False
    keep: tuple[str, ...] = ()
    interactive: bool = False


class _ByMachine:
    """The /etc of a system's commands, which its machine keeps for the next one: a Handover."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def take(self) -> tuple[int | None, str]:
        """Take it from the command before."""
        mount = self._client.ask(TakeEtc())
        descriptors = self._client.take_descriptors(int(mount.comes))
        return descriptors[0] if descriptors else None, mount.work

    def give(self, descriptor: int | None) -> None:
        """Give it to the next one."""
        descriptors = [] if descriptor is None else [descriptor]
        self._client.ask(GiveEtc(comes=bool(descriptors)), descriptors)
        for each in descriptors:
            os.close(each)


def print_problem(sentence: str) -> None:
    """Print why the command cannot be run, or where it is."""
    print(f"apmatrix: {sentence}", file=sys.stderr)


def supervise(
    command: Command, client: Client, parent: int, report: Callable[[str], None] = print_problem
) -> NoReturn:
    """Be the supervisor, in a process with one thread, and end it with the command's exit code.

    ``report`` is called with the reason if the command cannot be run.
    """
    try:
        status = _run_in_sandbox(command, client, parent, report)
    except ControlError as error:
        report(str(error))
        status = int(error.code)
    except ApmatrixError as error:
        report(str(error))
        status = ExitCode.REFUSED
    except OSError as error:
        report(f"a private /sys cannot be made: {error.filename}: {error.strerror}")
        status = ExitCode.REFUSED
    os._exit(status)


def _run_in_sandbox(command: Command, client: Client, parent: int, report: Callable[[str], None]) -> int:
    # Until there is an init that passes them on, the terminal's signals end all that there is.
    for number in INTERRUPTIONS:
        signal.signal(number, lambda number, _frame: os._exit(KILLED + number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTIONS)
    here = _here()
    sandbox = enter(sandbox_directory(command.machine))
    _follow(parent)
    attached = client.ask(Attach(system=command.system), sandbox.for_machine)
    sandbox.leave_to_machine()
    # A directory below /var that the command is started in belongs to its user, not to the system.
    keep = (*command.keep, *([str(here)] if here.is_relative_to("/var") else []))
    complete(sandbox, Mounts(attached.bindings, attached.state, keep), _ByMachine(client))
    _go(here)
    foreground = command.interactive and _in_foreground()
    signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTIONS)
    init = os.fork()
    if init == 0:
        _be_init(command, attached.system, client, report, own_user=sandbox.own_user, foreground=foreground)
    _ignore_interruptions()
    try:
        return _end_of(init, client)
    finally:
        if foreground:
            _take_terminal()


def _end_of(init: int, client: Client) -> int:
    """Wait for init's exit code; ControlError if the machine ends first, and init with it."""
    if not _outlived(init, client):
        os.kill(init, signal.SIGKILL)
        os.waitpid(init, 0)
        raise ControlError("the machine ended, and so did the command", ExitCode.UNREACHABLE)
    _, status = os.waitpid(init, 0)
    return exit_code(status)


def _ignore_interruptions() -> None:
    """Leave the terminal's signals to the command, even those that are pending."""
    for number in INTERRUPTIONS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTIONS)


def _here() -> Path:
    """The current directory; the root if it is gone."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/")


def _go(directory: Path) -> None:
    """Enter a directory again, by its name, to see what was mounted over it. The root if it is gone."""
    try:
        os.chdir(directory)
    except OSError:
        os.chdir("/")


def _outlived(init: int, client: Client) -> bool:
    """Wait for the end of init or of the machine; False if the machine ended first."""
    with os.fdopen(os.pidfd_open(init)) as ended:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.register(client.connection, select.POLLRDHUP)
        return ended.fileno() in dict(poll.poll())


def _follow(parent: int) -> None:
    """Die with the parent, even if it is dead already."""
    die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(KILLED + signal.SIGKILL)


def _in_foreground() -> bool:
    """True if this process may read from the terminal that is its standard input."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # it is not the controlling terminal
        return False


def _take_terminal() -> None:
    """Bring this process's group to the foreground of the terminal."""
    old = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    with suppress(OSError):
        os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, old)


def _be_init(
    command: Command,
    system: str,
    client: Client,
    report: Callable[[str], None],
    *,
    own_user: bool,
    foreground: bool,
) -> NoReturn:
    """Be the init process of the PID namespace. The terminal's signals are blocked, so that none is lost.

    With ``foreground`` the command takes the terminal.
    """
    status: int = ExitCode.REFUSED
    try:
        die_with_parent(signal.SIGKILL)
        mount_proc(own_user=own_user)
        environment = _environment(command, system)
        if command.udev:
            udevadm = _start_udevd(environment)
            start: int | None = 0
            while start is not None:
                start = client.ask(ReplayUevents(start))
                _udevadm(udevadm, environment, "settle", "--timeout=30")
        if command.interactive:
            print_problem(f"this shell is on {system} of the emulated machine {command.machine}; exit leaves it")
        status = _run(command.arguments, environment, foreground=foreground)
        # Processes in a blocked write cannot die: the machine must unblock them first.
        client.ask(Detach())
    except ApmatrixError as error:
        report(str(error))
    except OSError as error:
        report(f"a private /proc cannot be made: {error.filename}: {error.strerror}")
    finally:
        os._exit(status)


def _environment(command: Command, system: str) -> dict[str, str]:
    """The command's environment: with this program in its path, the names of the machine and the system, a prompt."""
    path = os.environ.get("PATH", os.defpath)
    if shutil.which("apmatrix", path=path) is None:
        path = f"{path}:{Path(sys.argv[0]).resolve().parent}"
    own = {
        "PATH": path,
        MACHINE_VARIABLE: command.machine,
        SYSTEM_VARIABLE: system,
        "SYSTEMD_DEVICE_VERIFY_SYSFS": "0",
    }
    prompt = {"PS1": f"[{command.machine} {system}] $ "} if command.interactive else {}
    return {**os.environ, **own, **prompt}


def _run(arguments: tuple[str, ...], environment: Mapping[str, str], *, foreground: bool) -> int:
    child = os.fork()
    if child == 0:
        if foreground:
            # A shell gives the terminal back to the group that had it: one of this PID namespace, which has a number.
            os.setpgid(0, 0)
            _take_terminal()
        for number in (*INTERRUPTIONS, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTIONS)
        try:
            os.execvpe(arguments[0], arguments, environment)
        except OSError as error:
            print(f"apmatrix: {arguments[0]}: {error.strerror}", file=sys.stderr)
            os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE)
    for number in INTERRUPTIONS & signal.sigpending():  # that came before the command was there
        os.kill(child, number)
    _ignore_interruptions()
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
        raise SandboxError("--udev needs systemd-udevd, which is not installed: apt install udev")
    null = subprocess.DEVNULL
    subprocess.Popen([program], env=environment, stdin=null, stdout=null, stderr=null, start_new_session=True)
    udevadm = shutil.which("udevadm", path=os.environ.get("PATH", "") + ":/sbin:/usr/sbin")
    end = time.monotonic() + _UDEV_START
    # Its socket exists before it listens to the kernel: only an answer proves that it does.
    while not (udevadm and _UDEV_CONTROL.exists() and _udevadm(udevadm, environment, "control", "--ping")):
        if not udevadm or time.monotonic() > end:
            raise SandboxError(f"{program} does not start: run it with --debug in apmatrix shell to see why")
        time.sleep(0.01)
    return udevadm


def _udevadm(program: str, environment: Mapping[str, str], *words: str) -> bool:
    done = subprocess.run([program, *words], env=environment, stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0
