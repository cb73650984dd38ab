"""``apmatrix explain``: why a guest has, or does not have, a queue."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click
from rich.text import Text

from apmatrix.arch import Apqn
from apmatrix.cli.documents import json_option, print_document
from apmatrix.cli.machine import brought_up
from apmatrix.cli.output import read_file
from apmatrix.cli.remote import machine_option
from apmatrix.cli.tables import Column, print_table, print_text
from apmatrix.config import counted
from apmatrix.rules.readings import apqn_doubt
from apmatrix.service.client import ask
from apmatrix.service.errors import ExitCode
from apmatrix.service.operations import Asked, explain_queues
from apmatrix.service.protocol.matrix import ExplainQueues

if TYPE_CHECKING:
    from apmatrix.hosts import Explanation


@click.command()
@click.argument("arguments", nargs=-1, required=True, metavar="[FILE] GUEST [APQN]")
@machine_option
@json_option
@click.pass_context
def explain(ctx: click.Context, arguments: tuple[str, ...], machine: str | None, as_json: bool) -> None:
    """Explain why GUEST has, or does not have, queue APQN, or each of the queues that it is given.

    The machine is that of FILE, brought up in this process, or a running one as it is now: the one that --machine
    names, or this shell's. Every level is checked in order: adapter and profile, then at each host the queue device,
    its owner, its binding, the assignment, the filter, the control block; finally what the guest can really use.
    GUEST is a name, names from the LPAR down where one is not enough (kvm1/guest1/guest2), or the UUID of an mdev.
    The exit code is 1 if a queue is missing.

    Each step cites the rule that decides it; `apmatrix rule BUS-20` prints its text.

    \b
      apmatrix example three-guests > three-guests.toml
      apmatrix explain three-guests.toml guest2
      apmatrix explain three-guests.toml guest2 05.0004
      apmatrix explain --machine cpc1 guest2 05.0004
    """
    file, guest, text = _meant(arguments, machine)
    apqn = _apqn(text) if text is not None else None
    if file is None:
        explanations = ask(machine, ExplainQueues(guest, apqn))
    else:
        with brought_up(read_file(file).without_keys()) as emulation:
            explanations = explain_queues(Asked(emulation), ExplainQueues(guest, apqn))
    if as_json:
        print_document({"explanations": explanations})
    elif apqn and text:
        _print_steps(explanations[0], apqn_doubt(text, apqn))
    else:
        _print_queues(explanations[0].guest if explanations else guest, explanations)
    ctx.exit(ExitCode.FINE if all(explanation.has for explanation in explanations) else ExitCode.REFUSED)


def _meant(arguments: tuple[str, ...], machine: str | None) -> tuple[str | None, str, str | None]:
    """FILE, GUEST and APQN; no FILE if a running machine is meant."""
    if machine is not None and len(arguments) > 1 and os.path.lexists(arguments[0]):
        raise click.UsageError(f"give FILE ({arguments[0]}) or --machine, not both")
    most = 3 if machine is None else 2
    if len(arguments) > most:
        raise click.UsageError(f"{arguments[most]!r} is too much: give {'' if machine else 'FILE '}GUEST APQN")
    if machine is None and len(arguments) == 1 and os.path.lexists(arguments[0]):
        raise click.UsageError("Missing argument 'GUEST': which guest of FILE?")
    if machine is not None or len(arguments) == 1 or (len(arguments) == 2 and _running(arguments)):
        return None, arguments[0], arguments[1] if len(arguments) == 2 else None
    return arguments[0], arguments[1], arguments[2] if len(arguments) == 3 else None


def _running(arguments: tuple[str, ...]) -> bool:
    """True if two arguments are GUEST and APQN, and not FILE and GUEST: no name of a guest begins like an APQN."""
    return not os.path.lexists(arguments[0]) and re.match(r"[0-9a-fA-F]{1,2}[.,]", arguments[1]) is not None


def _apqn(value: str) -> Apqn:
    """An APQN on the command line; a usage error if it is not one."""
    try:
        return Apqn.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="APQN") from None


def _print_steps(explanation: Explanation, doubt: str) -> None:
    """The answer and its reasons; ``doubt`` is what else may have been asked, of which a missing queue reminds."""
    answer = "Yes." if explanation.has else f"No: {explanation.reason.text}."
    print_text(f"Does {explanation.guest} have {explanation.apqn}? {answer}")
    if doubt and not explanation.has:
        print_text(f"APQNs are hexadecimal: {doubt}.")
    print_text("")
    columns = Column(), Column("where"), Column("what"), Column("why", prose=True), Column("rule")
    rows = [(_verdict(step.passes), step.where, step.subject, step.text, step.rule) for step in explanation.steps]
    print_table(columns, rows)
    print_text(f"\nTo read the rule: apmatrix rule {explanation.reason.rule}")


def _print_queues(guest: str, explanations: tuple[Explanation, ...]) -> None:
    if not explanations:
        print_text(f"{guest} is given no queue: it needs adapters and domains.")
        return
    has = sum(explanation.has for explanation in explanations)
    print_text(f"{guest} has {has} of the {counted(len(explanations), 'queue')} that it is given.\n")
    columns = Column("queue"), Column(), Column("where"), Column("why", prose=True)
    rows = [(str(each.apqn), _verdict(each.has), each.reason.where, each.reason.text) for each in explanations]
    print_table(columns, rows)


def _verdict(passes: bool) -> Text:
    return Text("yes", "green") if passes else Text("no", "red")
