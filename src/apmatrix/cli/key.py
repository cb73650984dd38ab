"""``apmatrix key``: the master keys of a running machine's cards, by commands from one of its systems."""

from __future__ import annotations

import sys
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, get_args

import click
import msgspec

from apmatrix.arch import Mask, SetName
from apmatrix.cli.documents import json_option, print_document
from apmatrix.cli.remote import machine_option
from apmatrix.cli.secret import ask_passphrase, given_secret, key_file_option, next_line, path_type
from apmatrix.cli.sentences import CommandGroup
from apmatrix.cli.spelling import NumberList, SingleNumber
from apmatrix.rules.keyparts import looks_like_a_key
from apmatrix.service.client import ask, stopped_machine
from apmatrix.service.dumps import forbid_core_dumps
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.protocol.keys import (
    ClearKey,
    KeyFacts,
    KeyFile,
    KeyRequest,
    KeysDone,
    LoadKey,
    ReencipheredFile,
    ReencipherFiles,
    RegisterFacts,
    SetKey,
    ShowKeys,
    StepName,
    ZeroizeKeys,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.rules.findings import Finding

    Function = Callable[..., None]

R = TypeVar("R", bound="KeyRequest[Any]")

_LONGEST_FILE: Final = 4096
_DIGITS: Final = 16  # of a pattern, in tables


def _alone(_ctx: click.Context, _param: click.Parameter, number: int) -> Mask:
    """The mask with one number."""
    return Mask.of(number)


_SETS: Final = click.Choice(get_args(SetName), case_sensitive=False)
_set_argument: Final = click.argument("key_set", metavar="SET", type=_SETS)


class _KeyPlace(NamedTuple):
    """What all commands about the keys of domains are given: which domains of which cards, and from where."""

    machine: str | None
    as_json: bool
    adapters: Mask | None
    domains: Mask | None
    system: str | None
    through: int | None

    @property
    def required_domains(self) -> Mask:
        """The domains; click makes sure that there are some."""
        assert self.domains is not None
        return self.domains


def _place_options(*, domain_needed: bool = True, one_domain: bool = False) -> Callable[[Function], Function]:
    """Add the options that become a ``place``; with ``one_domain`` it has exactly one domain."""
    domain = click.option(
        "--domain",
        "domains",
        type=SingleNumber("domain"),
        callback=_alone,
        required=True,
        metavar="DOMAIN",
        help="The domain, such as 4.",
    )
    options = (
        json_option,
        machine_option,
        click.option(
            "--through", type=SingleNumber("domain"), metavar="DOMAIN", help="Send through this domain's queue."
        ),
        click.option("--from", "system", metavar="NAME", help="The LPAR or guest that sends the commands."),
        domain
        if one_domain
        else click.option(
            "--domain",
            "domains",
            type=NumberList("domain"),
            metavar="LIST",
            required=domain_needed,
            help="Domains, such as 4 or 4,0xab.",
        ),
        click.option(
            "--adapter", "adapters", type=NumberList("adapter"), metavar="LIST", help="Adapters, such as 5 or 5,6."
        ),
    )

    def decorate(function: Function) -> Function:
        @wraps(function)
        def command(**given: Any) -> None:
            place = _KeyPlace(**{name: given.pop(name) for name in _KeyPlace._fields})
            function(place=place, **given)

        decorated: Function = command
        for option in options:
            decorated = option(decorated)
        return decorated

    return decorate


@click.group(cls=CommandGroup)
def key() -> None:
    """Load, set, clear and show the master keys of a running machine's cards.

    The commands go through the queues of one of its systems, and change only what that system's control domains
    allow.

    \b
      apmatrix key load aes --random --adapter 5 --domain 4
      apmatrix key set aes --adapter 5 --domain 4
      apmatrix key show --from guest1
    """


@key.command()
@_set_argument
@click.argument("parts", nargs=-1, metavar="[PART]...")
@click.option("--random", is_flag=True, help="Generate the key, and never show it.")
@click.option(
    "--step", type=click.Choice(get_args(StepName)), help="Take this step only, with one part (none for commit)."
)
@_place_options()
def load(key_set: SetName, parts: tuple[str, ...], random: bool, step: StepName | None, place: _KeyPlace) -> None:
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
@_place_options()
def set_key(key_set: SetName, place: _KeyPlace) -> None:
    """Make the new key of SET the current one.

    In a CCA domain the current key becomes the old one, which still opens what it has wrapped. In an EP11 domain what
    the previous key has wrapped is lost.
    """
    _change(place, SetKey(key_set=key_set, domains=place.required_domains))


@key.command()
@click.argument("key_set", metavar="[SET]", required=False, type=_SETS)
@click.option("--all-registers", is_flag=True, help="All keys of the domain: new, current and old of every set.")
@click.option("--whole-card", is_flag=True, help="All keys of all domains of the card.")
@_place_options()
def clear(key_set: SetName | None, all_registers: bool, whole_card: bool, place: _KeyPlace) -> None:
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
@click.argument("blobs", nargs=-1, required=True, metavar="BLOB...")
@click.option("--output", metavar="FILE", help="Where the result goes, by default to BLOB.new.")
@_place_options(one_domain=True)
def reencipher(blobs: tuple[str, ...], output: str | None, place: _KeyPlace) -> None:
    """Re-encipher EP11 key blobs before the wrapping key is changed.

    BLOB is a file with a key as Linux and zkey keep it. The result is under the new wrapping key, which must be
    loaded and committed. It is usable once that key is set; until then the old blob is. All blobs are re-enciphered,
    or none. CCA needs no such step: its old register still opens what it has wrapped.

    \b
      apmatrix key load wk part --domain 4
      apmatrix key reencipher disk.key --domain 4
      apmatrix key set wk --domain 4
      mv disk.key.new disk.key
    """
    if output is not None and len(blobs) > 1:
        raise click.UsageError("--output is for one BLOB only")
    outputs = [Path(output or f"{name}.new") for name in blobs]
    for path in outputs:
        if path.exists():
            raise ControlError(f"{path} already exists: move it away, or give another --output")
    files = tuple(KeyFile(name, _read(name, "key blob")) for name in blobs)
    (domain,) = place.required_domains
    answer = ask(place.machine, _from(place, ReencipherFiles(domain=domain, files=files)))
    _end(answer.refused)
    done = [_keep(file, path) for file, path in zip(answer.done, outputs, strict=True)]
    if place.as_json:
        print_document({"files": done})
    for fact in () if place.as_json else done:
        click.echo(f"{fact.output}: good when the new WK of {fact.apqn} is set, pattern {fact.pattern}")


class _Kept(msgspec.Struct):
    """A re-enciphered blob that was written to ``output``."""

    file: str
    apqn: str
    pattern: str
    output: str


def _keep(found: ReencipheredFile, path: Path) -> _Kept:
    """Write one re-enciphered blob; the facts about it."""
    from apmatrix.service.keystore import keep_blob  # noqa: PLC0415 - slow

    keep_blob(path, found.content)
    return _Kept(found.name, found.apqn, found.pattern, str(path))


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
@_place_options(domain_needed=False)
def show(place: _KeyPlace) -> None:
    """Show states and verification patterns of all domains that the system controls or uses.

    It asks the cards about the domains that it controls; of others it reads the patterns in sysfs.
    """
    answer = ask(place.machine, _from(place, ShowKeys(domains=place.domains)))
    if place.as_json:
        print_document({"domains": answer.done}, answer.refused)
    elif answer.done or not answer.refused:
        _draw(answer.done)
    _end(answer.refused)


def _read_part(name: str) -> bytes:
    """A key part from a file, or typed."""
    return _typed_part() if name == "-" else _read(name, "key part")


def _read(name: str, what: str) -> bytes:
    """The content of a file, which no message ever quotes."""
    try:
        with Path(name).open("rb") as file:
            return file.read(_LONGEST_FILE)
    except (OSError, ValueError) as error:
        if looks_like_a_key(name):
            text = f"a {what} is never given on the command line, where others can see it: give a file, or -"
            raise ControlError(text, ExitCode.UNREADABLE) from None
        reason = error.strerror if isinstance(error, OSError) else error
        raise ControlError(f"{name}: the {what} cannot be read: {reason}", ExitCode.UNREADABLE) from None


def _typed_part() -> bytes:
    if sys.stdin.isatty():
        return str(click.prompt("key part, in hexadecimal", hide_input=True)).encode("utf-8", "surrogateescape")
    return next_line()


def _change(place: _KeyPlace, request: KeyRequest[KeysDone]) -> None:
    """Have each domain changed, and print the result."""
    answer = ask(place.machine, _from(place, request))
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
    _end(answer.refused)


def _from(place: _KeyPlace, request: R) -> R:
    """The request, for the adapters, from the system and through the queue that the options name."""
    return msgspec.structs.replace(request, adapters=place.adapters, system=place.system, through=place.through)


def _end(refused: Finding | None) -> None:
    if refused:
        raise ControlError(str(refused), findings=(refused,))


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
