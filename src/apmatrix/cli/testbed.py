"""``apmatrix fault``, ``record``, ``replay``: what testers do to a running machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from apmatrix.cli.documents import json_option, print_document
from apmatrix.cli.output import print_line
from apmatrix.cli.remote import machine_option
from apmatrix.cli.sentences import CommandGroup, say
from apmatrix.cli.spelling import NumberList
from apmatrix.rules.readings import fault_doubts
from apmatrix.service.client import ask
from apmatrix.service.errors import ExitCode
from apmatrix.service.protocol.testbed import (
    AddFault,
    CompareRecord,
    FaultFacts,
    ListFaults,
    PrepareRecord,
    RemoveFault,
    StartRecord,
    StartReplay,
    StopRecord,
    StopReplay,
)
from apmatrix.service.recordfile import existing_record, new_record

if TYPE_CHECKING:
    from apmatrix.arch import Mask

_file_argument = click.argument("file", type=click.Path(path_type=Path))
_adapter_option = click.option(
    "--adapter",
    "adapters",
    type=NumberList("adapter"),
    metavar="LIST",
    help="Adapters, such as 5,6; by default all of the machine.",
)


@click.group(cls=CommandGroup)
def fault() -> None:
    """Make queues and cards of a running machine fail, in words such as these.

    \b
      apmatrix fault add adapter=5 verb=PK reply=0x90 times=1
      apmatrix fault add adapter=5 on=zapq response=0x02
      apmatrix fault list
      apmatrix fault remove 1
    """


@fault.command("add")
@machine_option
@json_option
@click.argument("words", nargs=-1, required=True, metavar="KEY=VALUE...")
def add_fault(words: tuple[str, ...], machine: str | None, as_json: bool) -> None:
    """Make queues or cards fail from now on."""
    added = ask(machine, AddFault(" ".join(words)))
    for doubt in fault_doubts(" ".join(words)):
        say(f"warning: {doubt}")
    if as_json:
        print_document({"fault": added})
    else:
        click.echo(f"fault {added.number}: {added.fault}")


@fault.command("list")
@machine_option
@json_option
def list_faults(machine: str | None, as_json: bool) -> None:
    """List the active faults, and how often each has happened."""
    _list(ask(machine, ListFaults()), as_json=as_json)


def _list(faults: tuple[FaultFacts, ...], *, as_json: bool) -> None:
    if as_json:
        print_document({"faults": faults})
        return
    for entry in faults:
        click.echo(f"fault {entry.number}: {entry.fault}  (happened {entry.happened} times)")
    if not faults:
        click.echo("no faults")


@fault.command("remove")
@machine_option
@click.argument("number", required=False, type=int)
@click.option("--all", "everything", is_flag=True, help="End all faults.")
@json_option
def remove_fault(number: int | None, everything: bool, machine: str | None, as_json: bool) -> None:
    """End the fault NUMBER, or all."""
    if (number is None) != everything:
        raise click.UsageError("give the number of a fault, or --all")
    _list(ask(machine, RemoveFault(number)), as_json=as_json)


@click.group(cls=CommandGroup)
def record() -> None:
    """Record the traffic between the queues and the cards of a running machine.

    A record contains all that the requests contain, clear keys and parts of master keys included; only its owner can
    read the file.
    """


@record.command("start")
@machine_option
@_adapter_option
@json_option
@_file_argument
def start_record(file: Path, adapters: Mask | None, machine: str | None, as_json: bool) -> None:
    """Write every request and its reply to FILE, which must be new."""
    ask(machine, PrepareRecord(adapters))
    with new_record(file.absolute()) as descriptor:
        ask(machine, StartRecord(str(file.absolute()), adapters), [descriptor])
    if as_json:
        print_document({"file": str(file.absolute())})
    else:
        print_line(f"recording to {file}: apmatrix record stop ends it")


@record.command("stop")
@machine_option
@json_option
def stop_record(machine: str | None, as_json: bool) -> None:
    """End the record."""
    ended = ask(machine, StopRecord())
    if as_json:
        print_document(ended)
    else:
        print_line(f"{ended.file}: {ended.exchanges} exchanges")


@click.group(cls=CommandGroup)
def replay() -> None:
    """Answer requests as a record says, or send its requests again.

    \b
      apmatrix replay start traffic.jsonl
      apmatrix replay stop
      apmatrix replay check traffic.jsonl
    """


@replay.command("start")
@machine_option
@_adapter_option
@json_option
@_file_argument
def start_replay(file: Path, adapters: Mask | None, machine: str | None, as_json: bool) -> None:
    """Answer requests from the record FILE if they are in it; others go to the cards."""
    with existing_record(file.absolute()) as descriptor:
        started = ask(machine, StartReplay(str(file.absolute()), adapters), [descriptor])
    if as_json:
        print_document(started)
    else:
        print_line(f"{started.exchanges} exchanges of {file} are replayed: apmatrix replay stop ends it")


@replay.command("stop")
@machine_option
@json_option
def stop_replay(machine: str | None, as_json: bool) -> None:
    """Let the cards answer again."""
    ended = ask(machine, StopReplay())
    if as_json:
        print_document({"file": ended.file})
    else:
        print_line(f"{ended.file} is no longer replayed")


@replay.command("check")
@machine_option
@click.option("--from", "system", metavar="NAME", help="The LPAR or guest whose queues are used.")
@json_option
@_file_argument
@click.pass_context
def check_replay(ctx: click.Context, file: Path, system: str | None, machine: str | None, as_json: bool) -> None:
    """Send the requests in FILE again, through the same queues, and compare the replies.

    The exit code is 1 if one differs, as those of random numbers and of new keys always do.
    """
    with existing_record(file.absolute()) as descriptor:
        found = ask(machine, CompareRecord(str(file.absolute()), system), [descriptor])
    if as_json:
        print_document(found)
    else:
        for difference in found.differing:
            problem = difference.problem or "another reply"
            click.echo(f"{difference.apqn}, recorded at {difference.time:.6f}: {problem}")
        click.echo(f"{found.exchanges} requests sent, {len(found.differing)} answered differently")
    ctx.exit(ExitCode.REFUSED if found.differing else ExitCode.FINE)
