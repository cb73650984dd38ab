"""Runs a command on a machine, its own or one in the background, and the background machine itself."""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from apmatrix.emulation import Emulation
from apmatrix.service.client import Client
from apmatrix.service.command import INTERRUPTIONS, Command, exit_code, supervise
from apmatrix.service.dumps import forbid_core_dumps
from apmatrix.service.keystore import open_vault
from apmatrix.service.server import MachineServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from apmatrix.config import MachineFile
    from apmatrix.service.keystore import Secret
    from apmatrix.service.state import StateDirectory


def allow_descriptors() -> None:
    """Let this process have as many descriptors as the computer allows: every command on a machine needs some."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run_on_new(file: MachineFile, command: Command, report: Callable[[Emulation], None]) -> int:
    """Bring up a machine that ends with the command; returns the command's exit code.

    ``report`` is called with the machine once it is up. ApmatrixError if it cannot be brought up.
    """
    ours, theirs = socket.socketpair()
    # The supervisor makes a user namespace, which needs a process with one thread: fork before there are more.
    signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTIONS)
    supervisor = os.fork()
    if supervisor == 0:
        ours.close()
        supervise(command, Client(theirs), os.getppid())
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTIONS)
        theirs.close()
        allow_descriptors()
        forbid_core_dumps()  # not in the supervisor: the command may leave dumps, and sees no key
        with Emulation.start(file) as emulation, interruptions_passed_on(supervisor):
            report(emulation)
            MachineServer(emulation).serve(ours)
            return _wait(supervisor)
    except BaseException:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(supervisor, signal.SIGKILL)
            os.waitpid(supervisor, 0)
        raise


def run_on_running(client: Client, command: Command) -> NoReturn:
    """Run a command on a machine in the background; this process becomes its supervisor."""
    supervise(command, client, os.getppid())


@contextmanager
def interruptions_passed_on(supervisor: int) -> Iterator[None]:
    """Leave the terminal's signals to the command, and end everything if this process is told to end."""

    process = os.pidfd_open(supervisor)  # its number may be another's once it has ended

    def end(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):  # a second order to end finds it gone
            signal.pidfd_send_signal(process, signal.SIGKILL)
        raise SystemExit(128 + number)

    old = {number: signal.signal(number, signal.SIG_IGN) for number in INTERRUPTIONS}
    old |= {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        os.close(process)


def _wait(process: int) -> int:
    _, status = os.waitpid(process, 0)
    return exit_code(status)


def serve_in_background(
    file: MachineFile,
    state: StateDirectory,
    secret: Secret,
    check: Callable[[Emulation], None],
    ready: Callable[[Emulation], None],
) -> None:
    """Be the machine until a request or SIGTERM stops it.

    ``check`` is called before the machine can be reached, and what it raises ends it; ``ready`` is called afterwards.
    ControlError if it is already running, or if ``secret`` does not open its keys.
    """
    forbid_core_dumps()
    allow_descriptors()
    with state.locked(), Emulation.start(file, store=open_vault(state, file, secret)) as emulation:
        check(emulation)
        server = MachineServer(emulation, state)
        server.listen_at(state.socket)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stopped.set())
        ready(emulation)
        while not server.stopped.wait(threading.TIMEOUT_MAX):
            pass
