"""``apmatrix lpar set`` and ``apmatrix adapter set``: change a running machine, as at the HMC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

import click

from apmatrix.cli.documents import json_option, print_document
from apmatrix.cli.remote import machine_option
from apmatrix.cli.sentences import CommandGroup
from apmatrix.cli.spelling import NumberList, SingleNumber
from apmatrix.service.client import ask
from apmatrix.service.protocol.hardware import AdapterStateName, SetAdapterState, SetProfile

if TYPE_CHECKING:
    from apmatrix.arch import Mask

_DOMAINS: Final = NumberList("domain", some=False)


@click.group(cls=CommandGroup)
def lpar() -> None:
    """Change LPARs of a running machine."""


@lpar.command("set")
@machine_option
@json_option
@click.argument("name")
@click.option(
    "--adapters",
    type=NumberList("adapter", some=False),
    metavar="LIST",
    help="Such as 5,6 or 1-3,0xa; an empty string for none.",
)
@click.option("--usage-domains", type=_DOMAINS, metavar="LIST", help="Domains that the LPAR uses.")
@click.option("--control-domains", type=_DOMAINS, metavar="LIST", help="Domains that it administers.")
def set_lpar(
    name: str,
    machine: str | None,
    adapters: Mask | None,
    usage_domains: Mask | None,
    control_domains: Mask | None,
    as_json: bool,
) -> None:
    """Edit the running activation profile of LPAR NAME; what no option names stays the same.

    Queues that leave it are zeroized. Its Linux is notified and scans.
    """
    if adapters is usage_domains is control_domains is None:
        raise click.UsageError("nothing to set: give --adapters, --usage-domains or --control-domains")
    now = ask(machine, SetProfile(name, adapters, usage_domains, control_domains))
    if as_json:
        print_document(now)
        return
    click.echo(
        f"{name}: adapters {now.adapters.ranges() or 'none'}, usage domains {now.usage_domains.ranges() or 'none'}, "
        f"control domains {now.control_domains.ranges() or 'none'}"
    )


@click.group(cls=CommandGroup)
def adapter() -> None:
    """Change adapters of a running machine."""


@adapter.command("set")
@machine_option
@json_option
@click.argument("number", metavar="ID", type=SingleNumber("adapter"))
@click.option("--state", required=True, type=click.Choice(get_args(AdapterStateName)))
def set_adapter(number: int, state: AdapterStateName, machine: str | None, as_json: bool) -> None:
    """Change the state of adapter ID (5, 0x0a)."""
    now = ask(machine, SetAdapterState(number, state))
    if as_json:
        print_document(now)
    else:
        click.echo(f"adapter {now.adapter}: {now.state}")
