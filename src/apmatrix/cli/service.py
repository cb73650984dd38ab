"""``apmatrix up``, ``down``, ``status``, ``log``: a machine in the background."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec

from apmatrix.arch import ApmatrixError
from apmatrix.cli.documents import json_option, print_document
from apmatrix.cli.folding import printable
from apmatrix.cli.output import file_argument, print_guests, print_line
from apmatrix.cli.refused import check_strictly, report, strict_option
from apmatrix.cli.refused import exit_code as exit_code_of
from apmatrix.cli.remote import machine_option, scope, system_options
from apmatrix.cli.secret import given_secret, key_file_option
from apmatrix.cli.sentences import exit_code, findings_of
from apmatrix.rules.findings import Finding
from apmatrix.service.client import ask, connect, find_machine
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.protocol.machine import GetLog, GetStatus, MachineStatus, StopMachine
from apmatrix.service.protocol.messages import Problem, Success, decode_result, encode
from apmatrix.service.state import StateDirectory, already_running, machines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apmatrix.config import MachineFile
    from apmatrix.emulation import Emulation
    from apmatrix.service.keystore import Secret


@click.command()
@file_argument
@click.option("--foreground", is_flag=True, help="Run in the foreground (for a service manager).")
@key_file_option
@click.option("--ask-passphrase", is_flag=True, help="Ask for a passphrase instead, or read it from standard input.")
@strict_option
@json_option
@click.pass_context
def up(
    ctx: click.Context,
    file: str,
    foreground: bool,
    key_file: Path | None,
    ask_passphrase: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Start the machine that FILE describes in the background.

    The file names it. What its systems write to /etc, such as mdevctl's and chzdev's files, is kept in its state
    directory and restored by the next up. State directories are in $APMATRIX_STATE, /var/lib/apmatrix for root, else
    ~/.local/state/apmatrix. The master keys of its cards are kept there too, encrypted with a key file, or with a
    passphrase (also from $APMATRIX_PASSPHRASE).

    If the machine refuses a part of FILE, it runs without that part, and the exit code is 1.
    """
    from apmatrix.cli.output import read_file  # noqa: PLC0415 - slow to import

    description = read_file(file, strict=strict)
    state = StateDirectory.of(description.machine.name or Path(file).stem)
    new = not state.exists()
    try:
        state.make()
        secret = given_secret(key_file, ask=ask_passphrase, confirm=not state.keeps_keys())
        start = _start_here if foreground else _detach
        refused = start(_Start(description, state, secret, strict, as_json))
    except (KeyboardInterrupt, click.Abort):
        if new and state.exists() and not state.running():
            state.forget()
        raise
    ctx.exit(exit_code_of(ExitCode.FINE, refused))


class _Start(NamedTuple):
    """What a machine is started with."""

    file: MachineFile
    state: StateDirectory
    secret: Secret
    strict: bool
    as_json: bool

    def report(self, refused: Sequence[Finding]) -> None:
        """Say what the machine refuses of the file, now that it is running."""
        if self.as_json:
            print_document({"machine": self.state.path.name, "refused": refused})
        report(refused)

    def serve(self, ready: Callable[[Emulation], None]) -> None:
        """Be the machine; ``ready`` is called when it can be reached."""
        import logging  # noqa: PLC0415 - slow to import

        from apmatrix.service.run import serve_in_background  # noqa: PLC0415 - slow to import

        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")

        def check(emulation: Emulation) -> None:
            check_strictly(emulation.complaints, strict=self.strict)

        serve_in_background(self.file, self.state, self.secret, check, ready)


def _start_here(start: _Start) -> Sequence[Finding]:
    """Be the machine until it ends; returns what was refused."""
    refusals: list[Finding] = []

    def ready(emulation: Emulation) -> None:
        refusals.extend(emulation.complaints)
        start.report(refusals)
        sys.stdout.flush()

    start.serve(ready)
    return refusals


def _detach(start: _Start) -> Sequence[Finding]:
    """Start the machine in a process of its own, and wait until it is up; returns what was refused."""
    state = start.state
    if state.running():
        raise already_running(state)
    ours, theirs = socket.socketpair()
    interrupted = {signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, interrupted)
    if os.fork() == 0:
        ours.close()
        os.setsid()
        # A second fork: no process has to wait for the machine.
        if os.fork():
            os._exit(0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, interrupted)
        _become_service(start, theirs)
    with ours:
        theirs.close()
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, interrupted)
            os.wait()
            answer = b"".join(iter(lambda: ours.recv(4096), b""))
        except KeyboardInterrupt:
            _await_the_end(ours)
            if state.running():  # it had been up by then
                _stop(state.socket)
            raise
    if not answer:
        raise ControlError(f"the machine did not start: see {state.log}")
    refusals: Sequence[Finding] = decode_result(answer, tuple[Finding, ...])
    start.report(refusals)
    if not start.as_json:
        click.echo(f"machine {state.path.name} is running: apmatrix shell --machine {state.path.name}")
    return refusals


def _await_the_end(connection: socket.socket) -> None:
    """Wait until the process at the other end is gone: it gives up where it could say that the machine is up."""
    connection.shutdown(socket.SHUT_RD)
    poll = select.poll()
    poll.register(connection, 0)  # POLLHUP is always reported
    poll.poll()


def _stop(path: Path) -> None:
    """Stop the machine that listens there, and wait until its process has ended."""
    with connect(path) as client:
        client.ask(StopMachine())
        client.wait_for_the_end()


def _become_service(start: _Start, ready: socket.socket) -> None:
    """Be the machine in the background; write to ``ready``, a socket, when it is up, or why it will not be.

    If nobody reads that, the machine is not wanted any more, and ends.
    """
    import dataclasses  # noqa: PLC0415 - slow to import
    import logging  # noqa: PLC0415 - slow to import

    def answer(message: Success[Any] | Problem) -> None:
        ready.sendall(encode(message))
        ready.close()  # if nobody wants to know, only when the process ends

    def tell(emulation: Emulation) -> None:
        answer(Success(tuple(emulation.complaints)))

    status = 1
    try:
        log, null = start.state.open_log(), os.open(os.devnull, os.O_RDWR)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        if (key_file := start.secret.key_file) is not None:
            start = start._replace(secret=dataclasses.replace(start.secret, key_file=key_file.absolute()))
        os.chdir("/")  # the directory that it was started in does not stay busy
        start.serve(tell)
        status = 0
    except BrokenPipeError:
        logging.getLogger(__name__).error("the machine ended: apmatrix up was interrupted")
    except ApmatrixError as error:
        logging.getLogger(__name__).error("the machine ended: %s", error)
        answer(Problem(str(error), exit_code(error), findings_of(error)))
    except Exception as error:
        logging.getLogger(__name__).exception("the machine ended")
        answer(Problem(str(error) or type(error).__name__, ExitCode.REFUSED))
    finally:
        os._exit(status)


@click.command()
@click.argument("name", required=False)
@machine_option
@click.option("--forget", is_flag=True, help="Also remove its saved state and its keys, even if it is not running.")
@json_option
def down(name: str | None, machine: str | None, forget: bool, as_json: bool) -> None:
    """Stop a machine in the background; commands on it end. Its saved state is kept, unless you say --forget."""
    chosen = _one_machine(name, machine)
    state = StateDirectory.of(chosen) if chosen else None
    stop = not (forget and state and not state.running())
    if stop:
        path = find_machine(chosen)
        _stop(path)
        state = state or StateDirectory.of(path.parent.name)
    assert state is not None
    if forget:
        state.forget()
    done = {"stopped": stop, "forgotten": forget}
    if as_json:
        print_document({"machine": state.path.name, **done})
    for what in [] if as_json else [word for word, is_done in done.items() if is_done]:
        click.echo(f"machine {state.path.name} {what}")


def _one_machine(name: str | None, machine: str | None) -> str | None:
    """The machine that is named as the argument or by the option; a usage error for two."""
    if name is not None and machine not in (None, name):
        raise click.UsageError(f"give NAME or --machine, not both: {name} is not {machine}")
    return name or machine


class StoppedMachine(msgspec.Struct, frozen=True):
    """A machine that is not running, but has a state directory."""

    machine: str
    running: bool = False


class UnreachableMachine(msgspec.Struct, frozen=True):
    """A machine that is running but does not answer, or whose state this user may not see; ``problem`` says why."""

    machine: str
    problem: str
    running: bool | None = None


@click.command()
@click.argument("name", required=False)
@machine_option
@json_option
def status(name: str | None, machine: str | None, as_json: bool) -> None:
    """Show the machines, or what is running on one. The exit code is 3 if the named one is not running."""
    facts: list[MachineStatus | StoppedMachine | UnreachableMachine]
    chosen = _one_machine(name, machine)
    if chosen or "APMATRIX_MACHINE" in os.environ:
        facts = [ask(chosen, GetStatus())]
    else:
        facts = [_facts(state) for state in machines()]
    if as_json:
        print_document({"machines": facts})
    elif not facts:
        click.echo("no machine: start one with apmatrix up FILE")
    for fact in facts if not as_json else ():
        _print_status(fact)
    if any(isinstance(fact, UnreachableMachine) for fact in facts):
        sys.exit(ExitCode.UNREACHABLE)


def _facts(state: StateDirectory) -> MachineStatus | StoppedMachine | UnreachableMachine:
    """One of all machines; what cannot be asked must not hide the others."""
    name = state.path.name
    try:
        return ask(name, GetStatus()) if state.running() else StoppedMachine(name)
    except ControlError as error:
        return UnreachableMachine(name, str(error))


def _print_status(fact: MachineStatus | StoppedMachine | UnreachableMachine) -> None:
    if isinstance(fact, UnreachableMachine):
        click.echo(f"{fact.machine}  unreachable: {fact.problem}")
        return
    click.echo(f"{fact.machine}  {'running' if fact.running else 'stopped'}")
    if isinstance(fact, StoppedMachine):
        return
    print_line(f"  Linux systems: {', '.join(fact.systems) or 'none'}; commands: {fact.sessions}")
    print_guests(fact.guests, lead="  guest ")


@click.command()
@machine_option
@system_options
@json_option
def log(machine: str | None, lpar: str | None, guest: str | None, as_json: bool) -> None:
    """Show a system's kernel log, as dmesg does."""
    found = ask(machine, GetLog(scope(lpar, guest)))
    if as_json:
        print_document(found)
    for entry in () if as_json else found.entries:
        click.echo(f"[{entry.time:12.6f}] {printable(entry.text)}")
    sys.stdout.flush()
