"""``apmatrix events``: what happens on a running machine, as it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from apmatrix.arch import Mask
from apmatrix.cli.documents import json_option, print_document_line
from apmatrix.cli.folding import printable
from apmatrix.cli.remote import machine_option
from apmatrix.service.client import connect, find_machine

if TYPE_CHECKING:
    from apmatrix.service.protocol.events import Happened


@click.command()
@machine_option
@json_option
def events(machine: str | None, as_json: bool) -> None:
    """Print what happens on a running machine, as it happens, until you press Ctrl-C.

    Guests that start and stop, matrices of mdevs and guests, activation profiles, cards, faults, and what is refused.
    With --json each line is a document.

    \b
      apmatrix events --machine cpc1
      apmatrix events --json | jq .event
    """
    with connect(find_machine(machine)) as client:
        for happened in client.subscribe():
            if as_json:
                print_document_line(happened)
            else:
                click.echo(_line(happened))


def _line(happened: Happened) -> str:
    """``[    1.250000] 3 guest-started guest=kvm1/guest1 uuid=…``."""
    event = happened.event
    fields = ((name, getattr(event, name)) for name in event.__struct_fields__)
    words = (f"{name}={_text(value)}" for name, value in fields)
    return " ".join((f"[{happened.time:12.6f}]", str(happened.sequence), str(event.__struct_config__.tag), *words))


def _text(value: object) -> str:
    if isinstance(value, Mask):
        return value.ranges() or "none"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    if value is None:
        return "none"
    text = printable(str(value))
    return f'"{text}"' if " " in text else text
