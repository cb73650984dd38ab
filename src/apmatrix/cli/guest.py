"""``apmatrix guest``: attach VMs to mdevs of a running machine, and detach them."""

from __future__ import annotations

import click

from apmatrix.cli.output import json_option, print_guests, print_json
from apmatrix.cli.remote import machine_option, scope, system_options
from apmatrix.cli.sentences import CommandGroup
from apmatrix.service.client import ask
from apmatrix.service.protocol.guests import ListGuests, StartGuest, StopGuest


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
@click.argument("name", metavar="NAME-OR-UUID")
def start(name: str, machine: str | None, lpar: str | None, guest: str | None) -> None:
    """Start a VM that uses the mdev, as QEMU does."""
    found = ask(machine, StartGuest(name, scope(lpar, guest)))
    click.echo(f"{found.name} started")


@guest.command()
@machine_option
@system_options
@click.argument("name", metavar="NAME-OR-UUID")
def stop(name: str, machine: str | None, lpar: str | None, guest: str | None) -> None:
    """Stop the VM that uses the mdev; the mdev stays."""
    found = ask(machine, StopGuest(name, scope(lpar, guest)))
    click.echo(f"{found.name} stopped")


@guest.command("list")
@machine_option
@json_option
def list_guests(machine: str | None, as_json: bool) -> None:
    """List the guests of the file, and VMs that were started by UUID."""
    found = ask(machine, ListGuests())
    if as_json:
        print_json(found)
        return
    print_guests(found)
