"""``apmatrix explain``: why a guest has a queue, or has it not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich import box
from rich.table import Table
from rich.text import Text

from apmatrix.arch import Apqn
from apmatrix.cli.machine import brought_up
from apmatrix.cli.output import console, file_argument, json_option, print_json, read_file
from apmatrix.config import counted
from apmatrix.emulation import explain as explain_queue
from apmatrix.service.errors import ExitCode

if TYPE_CHECKING:
    from apmatrix.hosts import Explanation


def _apqn(ctx: click.Context, param: click.Parameter, value: str | None) -> Apqn | None:
    """An APQN on the command line; a usage error if it is none."""
    try:
        return None if value is None else Apqn.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


@click.command()
@file_argument
@click.argument("guest")
@click.argument("apqn", callback=_apqn, required=False)
@json_option
@click.pass_context
def explain(ctx: click.Context, file: str, guest: str, apqn: Apqn | None, as_json: bool) -> None:
    """Explain why GUEST has or has not the queue APQN, or each of the queues that FILE gives it.

    Every level is looked at in order: adapter and profile, then at each host the queue device, who owns it, its
    binding, the assignment, the filter, the control block; at last what the guest can really use. GUEST is a name, or
    names from the LPAR down where one is not enough: kvm1/guest1/guest2. The exit code is 1 if a queue is missing.

    Each step cites the rule that decides it; `apmatrix rule BUS-20` prints the text of one.

    \b
      apmatrix explain examples/three-guests.toml guest2
      apmatrix explain examples/three-guests.toml guest2 05.0004
      apmatrix explain examples/nested.toml kvm1/guest1/guest2 07.0004
    """
    machine = read_file(file)
    names, described = machine.find_guest(guest)
    with brought_up(machine) as emulation:
        apqns = [apqn] if apqn else list(described.matrix.apqns())
        explanations = [explain_queue(emulation, names, wanted) for wanted in apqns]
    if as_json:
        print_json([explanation.as_json() for explanation in explanations])
    elif apqn:
        _print_steps(explanations[0])
    else:
        _print_queues("/".join(names), explanations)
    ctx.exit(ExitCode.FINE if all(explanation.has for explanation in explanations) else ExitCode.REFUSED)


def _print_steps(explanation: Explanation) -> None:
    out = console()
    answer = "Yes." if explanation.has else f"No: {explanation.reason.text}."
    out.print(Text(f"Does {explanation.guest} have {explanation.apqn}? {answer}\n"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("", "where", "what", "why", "rule"):
        table.add_column(title, overflow="fold", no_wrap=title in ("", "what"))
    for step in explanation.steps:
        table.add_row(_verdict(step.passes), step.where, step.subject, step.text, step.rule)
    out.print(table)
    out.print(Text(f"\nTo read the rule: apmatrix rule {explanation.reason.rule}"))


def _print_queues(guest: str, explanations: list[Explanation]) -> None:
    out = console()
    if not explanations:
        out.print(Text(f"{guest} is given no queue: it needs adapters and domains."))
        return
    has = sum(explanation.has for explanation in explanations)
    out.print(Text(f"{guest} has {has} of the {counted(len(explanations), 'queue')} that the file gives it.\n"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("queue", "", "where", "why"):
        table.add_column(title, overflow="fold")
    for explanation in explanations:
        reason = explanation.reason
        table.add_row(str(explanation.apqn), _verdict(explanation.has), reason.where, reason.text)
    out.print(table)


def _verdict(passes: bool) -> Text:
    return Text("yes", "green") if passes else Text("no", "red")
