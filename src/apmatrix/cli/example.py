"""``apmatrix example``: the example files that come with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from apmatrix.cli.documents import json_option, print_document
from apmatrix.config.examples import examples
from apmatrix.service.errors import ControlError, ExitCode

if TYPE_CHECKING:
    from apmatrix.config.examples import Example


@click.command()
@click.argument("name", required=False)
@json_option
def example(name: str | None, as_json: bool) -> None:
    """Print the example NAME, a file to begin with; without NAME, list the examples.

    \b
      apmatrix example
      apmatrix example three-guests > three-guests.toml
      apmatrix show three-guests.toml
    """
    known = examples()
    if name is None:
        if as_json:
            print_document({"examples": [_facts(found) | {"text": None} for found in known.values()]})
        else:
            from apmatrix.cli.tables import Column, print_table  # noqa: PLC0415 - slow

            rows = [(found.name, found.about) for found in known.values()]
            print_table([Column("example"), Column("about", prose=True)], rows)
        return
    wanted = known.get(name.removesuffix(".toml"))
    if wanted is None:
        raise ControlError(f"there is no example {name}: choose one of {', '.join(known)}", ExitCode.UNREADABLE)
    if as_json:
        print_document({"examples": [_facts(wanted)]})
    else:
        click.echo(wanted.text, nl=False)


def _facts(found: Example) -> dict[str, str | None]:
    return {"name": found.name, "about": found.about, "text": found.text}
