"""``apmatrix key``: the master keys of a running machine's cards, by commands from one of its systems."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, get_args

import click

from apmatrix.arch import Mask, SetName
from apmatrix.cli.documents import json_option, print_document
from apmatrix.cli.keyfiles import check, make, reencipher
from apmatrix.cli.keyplace import KeyPlace, end_with, place_options, read_secret_file
from apmatrix.cli.remote import machine_option
from apmatrix.cli.secret import ask_passphrase, given_secret, key_file_option, next_line, path_type
from apmatrix.cli.sentences import CommandGroup
from apmatrix.service.client import ask, stopped_machine
from apmatrix.service.dumps import forbid_core_dumps
from apmatrix.service.protocol.keys import (
    ClearKey,
    KeyFacts,
    KeyRequest,
    KeysDone,
    LoadKey,
    RegisterFacts,
    SetKey,
    ShowKeys,
    StepName,
    ZeroizeKeys,
)

if TYPE_CHECKING:
    from pathlib import Path

_DIGITS: Final = 16  # of a pattern, in tables


_SETS: Final = click.Choice(get_args(SetName), case_sensitive=False)
_set_argument: Final = click.argument("key_set", metavar="SET", type=_SETS)


@click.group(cls=CommandGroup)
def key() -> None:
    """Load, set, clear and show the master keys of a running machine's cards; make and check secure keys.

    The commands go through the queues of one of its systems, and change only what that system's control domains
    allow.

    \b
      apmatrix key load aes --random --adapter 5 --domain 4
      apmatrix key set aes --adapter 5 --domain 4
      apmatrix key show --from guest1
      apmatrix key make disk.key --adapter 5 --domain 4
    """


for command in (make, check, reencipher):
    key.add_command(command)


@key.command()
@_set_argument
@click.argument("parts", nargs=-1, metavar="[PART]...")
@click.option("--random", is_flag=True, help="Generate the key, and never show it.")
@click.option(
    "--step", type=click.Choice(get_args(StepName)), help="Take this step only, with one part (none for commit)."
)
@place_options()
def load(key_set: SetName, parts: tuple[str, ...], random: bool, step: StepName | None, place: KeyPlace) -> None:
    """Load a key into the new register of SET: aes, apka, asym (CCA), wk (EP11).

    PART is a file with a key part, as bytes or as hexadecimal digits; "-" is a line of standard input, or a
    prompt without echo on a terminal. A CCA key has two parts or more, which are combined by XOR; an EP11 key is a
    single piece. To let several people load a part each, name the step.

    \b
      apmatrix key load aes part1 part2 --domain 4
      apmatrix key load aes part1 --step first --domain 4
      apmatrix key load wk --random --domain 4 --from guest1
    """
    if random and parts:
        raise click.UsageError("give PART or --random, not both")
    if not random and not parts and step != "commit":
        raise click.UsageError("give the files with the key parts, or --random for a key that no one knows")
    forbid_core_dumps()
    contents = None if random else tuple(_read_part(name) for name in parts)
    request = LoadKey(key_set=key_set, parts=contents, step=step, domains=place.required_domains)
    _change(place, request)


@key.command("set")
@_set_argument
@place_options()
def set_key(key_set: SetName, place: KeyPlace) -> None:
    """Make the new key of SET the current one.

    In a CCA domain the current key becomes the old one, which still opens what it has wrapped. In an EP11 domain what
    the previous key has wrapped is lost.
    """
    _change(place, SetKey(key_set=key_set, domains=place.required_domains))


@key.command()
@click.argument("key_set", metavar="[SET]", required=False, type=_SETS)
@click.option("--all-registers", is_flag=True, help="All keys of the domain: new, current and old of every set.")
@click.option("--whole-card", is_flag=True, help="All keys of all domains of the card.")
@place_options()
def clear(key_set: SetName | None, all_registers: bool, whole_card: bool, place: KeyPlace) -> None:
    """Empty the new register of SET; with an option, lose keys that are in use.

    \b
      apmatrix key clear aes --adapter 5 --domain 4
      apmatrix key clear --all-registers --domain 4
    """
    if [key_set is not None, all_registers, whole_card].count(True) != 1:
        raise click.UsageError("give one of SET, --all-registers, --whole-card")
    if key_set is not None:
        _change(place, ClearKey(key_set=key_set, domains=place.required_domains))
    else:
        _change(place, ZeroizeKeys(whole_card=whole_card, domains=place.required_domains))


@key.command()
@machine_option
@key_file_option
@click.option("--ask-passphrase", "ask_old", is_flag=True, help="Ask for the passphrase that opens them now.")
@click.option("--new-key-file", type=path_type, metavar="FILE", help="Encrypt them with this file.")
@click.option("--ask-new-passphrase", "ask_new", is_flag=True, help="Encrypt them with a passphrase.")
@click.option("--default-key", is_flag=True, help="Encrypt them with a key file that is made beside them.")
@json_option
def protect(
    machine: str | None,
    key_file: Path | None,
    ask_old: bool,
    new_key_file: Path | None,
    ask_new: bool,
    default_key: bool,
    as_json: bool,
) -> None:
    """Change what encrypts the master keys of a machine that is not running.

    Give what encrypts them now as for apmatrix up, and what is to encrypt them from now on with one of the other
    options. Without a terminal, passphrases are lines of standard input, the present one first. A kill at any moment
    leaves the keys under one of the two. The old one still opens copies of the old files.

    \b
      apmatrix key protect --machine cpc1 --ask-new-passphrase
      apmatrix key protect --ask-passphrase --new-key-file new
    """
    if [new_key_file is not None, ask_new, default_key].count(True) != 1:
        raise click.UsageError("give one of --new-key-file, --ask-new-passphrase, --default-key")
    from apmatrix.service.keystore import Secret, change_secret  # noqa: PLC0415 - slow

    state = stopped_machine(machine)
    old = given_secret(key_file, ask=ask_old)
    new = Secret(ask_passphrase("new passphrase", confirm=True) if ask_new else None, new_key_file)
    change_secret(state, old, new)
    facts = {"machine": state.path.name, "encrypted_with": new.name}
    if as_json:
        print_document(facts)
    else:
        click.echo(f"the keys of machine {facts['machine']} are encrypted with {facts['encrypted_with']}")


@key.command()
@place_options(domain_needed=False)
def show(place: KeyPlace) -> None:
    """Show states and verification patterns of all domains that the system controls or uses.

    It asks the cards about the domains that it controls; of others it reads the patterns in sysfs.
    """
    answer = ask(place.machine, place.fill(ShowKeys(domains=place.domains)))
    if place.as_json:
        print_document({"domains": answer.done}, answer.refused)
    elif answer.done or not answer.refused:
        _draw(answer.done)
    end_with(answer.refused)


def _read_part(name: str) -> bytes:
    """A key part from a file, or typed."""
    return _typed_part() if name == "-" else read_secret_file(name, "key part")


def _typed_part() -> bytes:
    if sys.stdin.isatty():
        return str(click.prompt("key part, in hexadecimal", hide_input=True)).encode("utf-8", "surrogateescape")
    return next_line()


def _change(place: KeyPlace, request: KeyRequest[KeysDone]) -> None:
    """Have each domain changed, and print the result."""
    answer = ask(place.machine, place.fill(request))
    if place.as_json:
        print_document({"domains": answer.done}, answer.refused)
    for keys in () if place.as_json else answer.done:
        for label, registers in keys.registers.items():
            states = ", ".join(f"{name} {_register(register)}" for name, register in registers.items())
            click.echo(f"{keys.apqn} {label}: {states}")
        if not keys.registers:
            click.echo(f"{keys.apqn}: all registers are empty")
        if len(keys.controllers) > 1:
            click.echo(f"{keys.apqn} is controlled by {' and '.join(keys.controllers)}")
    end_with(answer.refused)


def _register(register: RegisterFacts, digits: int | None = None) -> str:
    """State and pattern, of which ``digits`` are enough to distinguish keys."""
    state, pattern = register.state, register.pattern or ""
    return f"{state} {pattern[:digits]}{'…' if pattern[:digits] != pattern else ''}" if pattern else state


def _draw(found: tuple[KeyFacts, ...]) -> None:
    """Draw a row for each set that has a key; the domains without one are listed together."""
    from apmatrix.cli.tables import Column, print_table, print_text  # noqa: PLC0415 - slow

    titles = ("queue", "type", "key", "new", "current", "old")
    table: list[tuple[str, ...]] = []
    empty: dict[tuple[int, str], list[int]] = {}
    for keys in found:
        rows = [(label, registers) for label, registers in keys.registers.items() if _in_use(registers)]
        if not rows:
            empty.setdefault((keys.adapter, keys.type), []).append(keys.domain)
        for label, registers in rows:
            shown = {name: _register(register, _DIGITS) for name, register in registers.items()}
            cells = (shown.get(name, "") for name in ("new", "current", "old"))
            table.append((keys.apqn, keys.type, label, *cells, ", ".join(keys.controllers)))
    if table:
        print_table([*map(Column, titles), Column("controlled by", prose=True)], table)
    for (adapter, card_type), domains in empty.items():
        print_text(f"adapter {adapter} {card_type}: no master keys in domain {Mask.of(*domains).ranges()}")
    if not found:
        print_text("no coprocessor is reachable: only they have master keys")


def _in_use(registers: dict[str, RegisterFacts]) -> bool:
    return any(register.state not in ("empty", "invalid") for register in registers.values())
