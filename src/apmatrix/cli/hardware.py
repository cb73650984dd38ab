"""``apmatrix lpar set`` and ``apmatrix adapter set``: change a running machine, as at the HMC."""

from __future__ import annotations

import click

from apmatrix.cli.remote import ask, machine_option


@click.group()
def lpar() -> None:
    """Change LPARs of a running machine."""


@lpar.command("set")
@machine_option
@click.argument("name")
@click.option("--adapters", metavar="LIST", help="Such as 5,6 or 1-3,0xa; an empty string for none.")
@click.option("--usage-domains", metavar="LIST", help="Domains that the LPAR uses.")
@click.option("--control-domains", metavar="LIST", help="Domains that it administers.")
def set_lpar(
    name: str, machine: str | None, adapters: str | None, usage_domains: str | None, control_domains: str | None
) -> None:
    """Edit the running activation profile of LPAR NAME; what no option names stays.

    Queues that leave it are zeroized. Its Linux notices at its next scan: echo 1 > /sys/bus/ap/scans
    """
    given = {"adapters": adapters, "usage_domains": usage_domains, "control_domains": control_domains}
    if all(text is None for text in given.values()):
        raise click.UsageError("nothing to set: give --adapters, --usage-domains or --control-domains")
    now = ask(machine, "lpar", name=name, **given)
    click.echo(
        f"{name}: adapters {now['adapters'] or 'none'}, usage domains {now['usage_domains'] or 'none'}, "
        f"control domains {now['control_domains'] or 'none'}"
    )


@click.group()
def adapter() -> None:
    """Change adapters of a running machine."""


@adapter.command("set")
@machine_option
@click.argument("number", metavar="ID")
@click.option("--state", required=True, type=click.Choice(["online", "deconfigured", "checkstopped"]))
def set_adapter(number: str, state: str, machine: str | None) -> None:
    """Change the state of adapter ID (5, 0x0a)."""
    try:
        found = int(number, 0)
    except ValueError:
        raise click.BadParameter(f"{number!r} is no adapter number, such as 5 or 0x0a") from None
    now = ask(machine, "adapter", id=found, state=state)
    click.echo(f"adapter {now['id']}: {now['state']}")
