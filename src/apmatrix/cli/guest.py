"""``apmatrix guest``: attach VMs to mdevs of a running machine, and detach them."""

from __future__ import annotations

import click

from apmatrix.cli.documents import json_option, print_document
from apmatrix.cli.output import print_guests
from apmatrix.cli.remote import machine_option, scope, system_options
from apmatrix.cli.sentences import CommandGroup
from apmatrix.service.client import ask
from apmatrix.service.protocol.guests import GuestFacts, ListGuests, StartGuest, StopGuest


@click.group(cls=CommandGroup)
def guest() -> None:
    """Start and stop guests of a running machine.

    A guest is known by its name in the file, or by the UUID of any mdev. With --lpar or --guest, and inside apmatrix
    run and shell, names are those of that system's own guests. A name that several guests have is refused: give the
    names from the LPAR down, such as kvm1/guest1.
    """


@guest.command()
@machine_option
@system_options
@json_option
@click.argument("name", metavar="NAME-OR-UUID")
def start(name: str, machine: str | None, lpar: str | None, guest: str | None, as_json: bool) -> None:
    """Start a VM that uses the mdev, as QEMU does."""
    found = ask(machine, StartGuest(name, scope(lpar, guest)))
    _tell(found, "started", as_json=as_json)


@guest.command()
@machine_option
@system_options
@json_option
@click.argument("name", metavar="NAME-OR-UUID")
def stop(name: str, machine: str | None, lpar: str | None, guest: str | None, as_json: bool) -> None:
    """Stop the VM that uses the mdev; the mdev stays."""
    found = ask(machine, StopGuest(name, scope(lpar, guest)))
    _tell(found, "stopped", as_json=as_json)


def _tell(found: GuestFacts, what: str, *, as_json: bool) -> None:
    if as_json:
        print_document({"guest": found})
    else:
        click.echo(f"{found.name} {what}")


@guest.command("list")
@machine_option
@json_option
def list_guests(machine: str | None, as_json: bool) -> None:
    """List the guests of the file, and VMs that were started by UUID."""
    found = ask(machine, ListGuests())
    if as_json:
        print_document({"guests": found})
    else:
        print_guests(found)
