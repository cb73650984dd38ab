"""Runs a command for callers that have threads: its supervisor is a new interpreter, and its output is collected.

The caller and the interpreter talk over a socket: one line of JSON says what is to be run; the answer, if any, is the
reason why it cannot be run.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apmatrix.faces.errors import SandboxError
from apmatrix.service.client import Client
from apmatrix.service.command import Command, supervise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apmatrix.service.server import MachineServer


def run_collected(
    server: MachineServer,
    command: Command,
    *,
    text: str | None = None,
    timeout: float | None = None,
    directory: str | os.PathLike[str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command on the machine that ``server`` serves; ``text`` is its standard input.

    SandboxError if it cannot be run here. subprocess.TimeoutExpired after ``timeout`` seconds; the command is killed.
    """
    machine, for_machine = socket.socketpair()
    job, for_job = socket.socketpair()
    words = [sys.executable, "-P", "-m", "apmatrix.service.spawn"]
    with job:
        with for_machine, for_job:
            try:
                process = subprocess.Popen(
                    [*words, str(for_job.fileno()), str(for_machine.fileno())],
                    pass_fds=(for_job.fileno(), for_machine.fileno()),
                    stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    encoding="utf-8",
                    errors="backslashreplace",
                    cwd=directory,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
            except BaseException:
                machine.close()
                raise
        server.serve(machine)
        with process:
            try:
                _tell(job, command, os.environ if environment is None else environment)
                output, errors = process.communicate(text, timeout)
            except BaseException as error:
                process.kill()
                process.communicate()  # until no process has the pipes open
                if isinstance(error, subprocess.TimeoutExpired):
                    error.cmd = command.arguments
                raise
        if reason := _said(job):
            raise SandboxError(reason)
    return subprocess.CompletedProcess(command.arguments, process.returncode, output, errors)


def _tell(job: socket.socket, command: Command, environment: Mapping[str, str]) -> None:
    line = json.dumps({"command": dataclasses.asdict(command), "environment": dict(environment)})
    job.sendall(line.encode() + b"\n")


def _said(job: socket.socket) -> str:
    """All that the other end, which is gone by now, has sent."""
    return b"".join(iter(lambda: job.recv(4096), b"")).decode()


def main(job: int, machine: int) -> None:
    """Be the supervisor: the file descriptors of both sockets are inherited."""
    for descriptor in (job, machine):
        os.set_inheritable(descriptor, False)
    told = socket.socket(fileno=job)
    order: dict[str, Any] = json.loads(told.makefile().readline())
    fields = order["command"]
    command = Command(**fields | {name: tuple(fields[name]) for name in ("arguments", "keep")})
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv[0] = str(Path(sys.executable).with_name("apmatrix"))  # where the command finds this program
    supervise(command, Client(socket.socket(fileno=machine)), os.getppid(), lambda text: told.sendall(text.encode()))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
