"""``apmatrix up``, ``down``, ``status``, ``log``: a machine in the background."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from apmatrix.arch import ApmatrixError
from apmatrix.cli.output import exit_code, json_option, print_json
from apmatrix.cli.remote import machine_option, scope, system_options
from apmatrix.cli.secret import given_secret, key_file_option
from apmatrix.service.client import ask, connect, find_machine
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.protocol.machine import GetLog, GetStatus, MachineStatus, StopMachine
from apmatrix.service.state import StateDirectory, already_running, machines

if TYPE_CHECKING:
    from apmatrix.config import MachineFile
    from apmatrix.emulation import Emulation
    from apmatrix.service.keystore import Secret


@click.command()
@click.argument("file", type=click.Path())
@click.option("--foreground", is_flag=True, help="Run in the foreground (for a service manager).")
@key_file_option
@click.option("--ask-passphrase", is_flag=True, help="Ask for a passphrase instead, or read it from standard input.")
def up(file: str, foreground: bool, key_file: Path | None, ask_passphrase: bool) -> None:
    """Start the machine that FILE describes in the background.

    The file names it. What its systems write to /etc, such as mdevctl's and chzdev's files, is kept in its state
    directory and restored by the next up. State directories are in $APMATRIX_STATE, /var/lib/apmatrix for root, else
    ~/.local/state/apmatrix. The master keys of its cards are kept there too, encrypted with a key file, or with a
    passphrase (also from $APMATRIX_PASSPHRASE).
    """
    from apmatrix.cli.output import read_file  # noqa: PLC0415 - slow to import

    description = read_file(file)
    state = StateDirectory.of(description.machine.name or Path(file).stem)
    state.make()
    secret = given_secret(key_file, ask=ask_passphrase, confirm=not state.keeps_keys())
    if foreground:
        _serve(description, state, secret, None)
        return
    _detach(description, state, secret)


def _serve(file: MachineFile, state: StateDirectory, secret: Secret, ready: int | None) -> None:
    """Be the machine; write to ``ready``, a pipe, when it is up."""
    import logging  # noqa: PLC0415 - slow to import

    from apmatrix.service.run import serve_in_background  # noqa: PLC0415 - slow to import

    def report(emulation: Emulation) -> None:
        text = "".join(f"apmatrix: refused: {refusal}\n" for refusal in emulation.refusals)
        if ready is None:
            click.echo(text, err=True, nl=False)
        else:
            os.write(ready, b"ok\n" + text.encode())
            os.close(ready)

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    serve_in_background(file, state, secret, report)


def _detach(file: MachineFile, state: StateDirectory, secret: Secret) -> None:
    """Start the machine in a process of its own, and wait until it is up."""
    if state.running():
        raise already_running(state)
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        os.setsid()
        # A second fork: no process has to wait for the machine.
        if os.fork():
            os._exit(0)
        _become_service(file, state, secret, writing)
    os.close(writing)
    os.wait()
    with os.fdopen(reading, encoding="utf-8") as pipe:
        first, *others = pipe.readlines() or [""]
    if first != "ok\n":
        code = ExitCode(int(first)) if first.strip().isdigit() else ExitCode.REFUSED
        raise ControlError("".join(others).strip() or f"the machine did not start: see {state.log}", code)
    click.echo("".join(others), err=True, nl=False)
    click.echo(f"machine {state.path.name} is running: apmatrix shell --machine {state.path.name}")


def _become_service(file: MachineFile, state: StateDirectory, secret: Secret, ready: int) -> None:
    import logging  # noqa: PLC0415 - slow to import

    log = os.open(state.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDWR)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    status = 1
    try:
        _serve(file, state, secret, ready)
        status = 0
    except ApmatrixError as error:
        logging.getLogger(__name__).error("the machine ended: %s", error)
        os.write(ready, f"{exit_code(error):d}\n{error}".encode())
    except Exception as error:
        logging.getLogger(__name__).exception("the machine ended")
        os.write(ready, f"{ExitCode.REFUSED:d}\n{error}".encode())
    finally:
        os._exit(status)


@click.command()
@click.argument("name", required=False)
@machine_option
def down(name: str | None, machine: str | None) -> None:
    """Stop a machine in the background; commands on it end. Its saved state is kept."""
    path = find_machine(name or machine)
    with connect(path) as client:
        client.ask(StopMachine())
        client.wait_for_the_end()  # of the machine's process, and with it of this connection
    click.echo(f"machine {path.parent.name} stopped")


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
    chosen = name or machine
    if chosen or "APMATRIX_MACHINE" in os.environ:
        facts = [ask(chosen, GetStatus())]
    else:
        facts = [_facts(state) for state in machines()]
    if as_json:
        print_json(facts)
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
    click.echo(f"  Linux systems: {', '.join(fact.systems) or 'none'}; commands: {fact.sessions}")
    for guest in fact.guests:
        click.echo(f"  guest {guest.name}  {guest.uuid}  {'running' if guest.running else 'stopped'}")


@click.command()
@machine_option
@system_options
@json_option
def log(machine: str | None, lpar: str | None, guest: str | None, as_json: bool) -> None:
    """Show a system's kernel log, as dmesg does."""
    entries = ask(machine, GetLog(scope(lpar, guest)))
    if as_json:
        print_json(entries)
        return
    for entry in entries:
        click.echo(f"[{entry.time:12.6f}] {entry.text}")
    sys.stdout.flush()
