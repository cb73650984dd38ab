"""``apmatrix key``: the master keys of a running machine's cards, by commands from one of its systems."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from apmatrix.arch import Mask
from apmatrix.cli.output import UNREADABLE, console, json_option, print_json
from apmatrix.cli.remote import ask, machine_option, numbers
from apmatrix.cli.secret import ask_passphrase, given_secret, key_file_option, next_line, path_type
from apmatrix.faces.lines import ControlError
from apmatrix.service.client import stopped_machine

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[..., None]

SETS: Final = ("aes", "apka", "asym", "wk")
STEPS: Final = ("first", "middle", "last", "import", "commit")

_LONGEST_FILE: Final = 4096
_DIGITS: Final = 16  # of a pattern, in tables
_LOOKS_LIKE_A_KEY: Final = re.compile(r"(0x)?[0-9a-fA-F]{32,}")


def _number(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A number; a usage error if it is none."""
    if value is None:
        return None
    found = tuple(Mask.parse_ids(numbers(ctx, param, value) or ""))
    if len(found) != 1:
        raise click.BadParameter("one domain only", ctx, param)
    return found[0]


_set_argument: Final = click.argument("key_set", metavar="SET", type=click.Choice(SETS, case_sensitive=False))


def _place(*, domain_needed: bool = True, one_domain: bool = False) -> Callable[[Function], Function]:
    """Which domains of which cards, or which domain of which card, and from where."""
    domain = click.option(
        "--domain", callback=_number, required=True, metavar="DOMAIN", help="The domain, such as 4."
    )
    options = (
        json_option,
        machine_option,
        click.option("--through", callback=_number, metavar="DOMAIN", help="Send through this domain's queue."),
        click.option("--from", "system", metavar="NAME", help="The LPAR or guest that sends the commands."),
        domain
        if one_domain
        else click.option(
            "--domain",
            "domains",
            callback=numbers,
            metavar="LIST",
            required=domain_needed,
            help="Domains, such as 4 or 4,0xab.",
        ),
        click.option("--adapter", "adapters", callback=numbers, metavar="LIST", help="Adapters, such as 5 or 5,6."),
    )

    def decorate(function: Function) -> Function:
        for option in options:
            function = option(function)
        return function

    return decorate


@click.group()
def key() -> None:
    """Load, set, clear and show the master keys of a running machine's cards.

    The commands go through the queues of one of its systems, and change only what that system's control domains
    allow. See docs/keys.md.

    \b
      apmatrix key load aes --random --adapter 5 --domain 4
      apmatrix key set aes --adapter 5 --domain 4
      apmatrix key show --from guest1
    """


@key.command()
@_set_argument
@click.argument("parts", nargs=-1, metavar="[PART]...")
@click.option("--random", is_flag=True, help="Make the key; nobody ever sees it.")
@click.option("--step", type=click.Choice(STEPS), help="Take this step only, with one part (none for commit).")
@_place()
def load(key_set: str, parts: tuple[str, ...], random: bool, step: str | None, **place: Any) -> None:
    """Load a key into the new register of SET: aes, apka, asym (CCA), wk (EP11).

    PART is a file with a key part, as bytes or as hexadecimal digits; "-" stands for a line of standard input, or
    for a question without an echo on a terminal. A key of CCA has two parts or more, which are combined by XOR; the
    one of EP11 is a single piece. To let several people load a part each, name the step.

    \b
      apmatrix key load aes part1 part2 --adapter 5,6 --domain 4
      apmatrix key load aes part1 --step first --adapter 5 --domain 4
      apmatrix key load wk --random --adapter 7 --domain 4 --from guest1
    """
    if random and parts:
        raise click.UsageError("give PART or --random, not both")
    if not random and not parts and step != "commit":
        raise click.UsageError("give the files with the key parts, or --random for a key that nobody knows")
    contents = [_read_part(name).hex() for name in parts]
    _change(**place, action="load", set=key_set.upper(), parts=contents, random=random, step=step)


@key.command("set")
@_set_argument
@_place()
def set_key(key_set: str, **place: Any) -> None:
    """Make the new key of SET the current one.

    In a CCA domain the current key becomes the old one, which still opens what it has wrapped. In an EP11 domain what
    the previous key has wrapped is lost.
    """
    _change(**place, action="set", set=key_set.upper())


@key.command()
@click.argument("key_set", metavar="[SET]", required=False, type=click.Choice(SETS, case_sensitive=False))
@click.option("--all-registers", is_flag=True, help="All keys of the domain: new, current and old of every set.")
@click.option("--whole-card", is_flag=True, help="All keys of all domains of the card.")
@_place()
def clear(key_set: str | None, all_registers: bool, whole_card: bool, **place: Any) -> None:
    """Empty the new register of SET; with an option, lose keys that are in use.

    \b
      apmatrix key clear aes --adapter 5 --domain 4
      apmatrix key clear --all-registers --adapter 5 --domain 4
    """
    if [key_set is not None, all_registers, whole_card].count(True) != 1:
        raise click.UsageError("give one of SET, --all-registers, --whole-card")
    if key_set is not None:
        _change(**place, action="clear", set=key_set.upper())
    else:
        _change(**place, action="zeroize-card" if whole_card else "zeroize")


@key.command()
@click.argument("blobs", nargs=-1, required=True, metavar="BLOB...")
@click.option("--output", metavar="FILE", help="Where the result goes; by default to BLOB.new.")
@_place(one_domain=True)
def reencipher(blobs: tuple[str, ...], output: str | None, machine: str | None, as_json: bool, **place: Any) -> None:
    """Re-encipher EP11 key blobs before the wrapping key is changed.

    BLOB is a file with a key as Linux and zkey keep it. The result is under the new wrapping key, which must be
    loaded and committed, and is good as soon as that one is set; until then the old blob is. All blobs are
    re-enciphered, or none. CCA needs no such step: its old register still opens what it has wrapped.

    \b
      apmatrix key load wk part --domain 4
      apmatrix key reencipher disk.key --domain 4
      apmatrix key set wk --domain 4 && mv disk.key.new disk.key
    """
    if output is not None and len(blobs) > 1:
        raise click.UsageError("--output is for one BLOB only")
    outputs = [Path(output or f"{name}.new") for name in blobs]
    for path in outputs:
        if path.exists():
            raise ControlError(f"{path} is there already: move it away, or give another --output")
    contents = [(name, _read(name, "key blob").hex()) for name in blobs]
    answer = ask(machine, "key", action="reencipher", blobs=contents, **place)
    _end(answer)
    done = [_keep(found, path) for found, path in zip(answer["done"], outputs, strict=True)]
    if as_json:
        print_json(done)
    for fact in () if as_json else done:
        click.echo(f"{fact['output']}: good when the new WK of {fact['apqn']} is set, pattern {fact['pattern']}")


def _keep(found: dict[str, Any], path: Path) -> dict[str, Any]:
    """Write one re-enciphered blob; the facts about it."""
    from apmatrix.service.keystore import keep_blob  # noqa: PLC0415 - slow

    keep_blob(path, bytes.fromhex(found.pop("content")))
    return {**found, "output": str(path)}


@key.command()
@machine_option
@key_file_option
@click.option("--ask-passphrase", "ask_old", is_flag=True, help="Ask for the passphrase that opens them now.")
@click.option("--new-key-file", type=path_type, metavar="FILE", help="Encrypt them with this file.")
@click.option("--ask-new-passphrase", "ask_new", is_flag=True, help="Encrypt them with a passphrase.")
@click.option("--default-key", is_flag=True, help="Encrypt them with a file that is made beside them.")
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
    """Change what encrypts the master keys of a machine that does not run.

    What encrypts them now is given as to apmatrix up; with one of the other options, what shall do so from now on.
    Without a terminal, passphrases are lines of standard input, the present one first. A kill at any moment leaves
    the keys under one of both. Copies of the old files are still opened by the old one.

    \b
      apmatrix key protect --machine cpc1 --ask-new-passphrase
      apmatrix key protect --machine cpc1 --ask-passphrase --new-key-file /media/stick/cpc1
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
        print_json(facts)
    else:
        click.echo(f"the keys of machine {facts['machine']} are encrypted with {facts['encrypted_with']}")


@key.command()
@_place(domain_needed=False)
def show(machine: str | None, as_json: bool, **place: Any) -> None:
    """Show states and verification patterns of all domains that the system controls or uses.

    What it controls is asked from the cards; of other domains it reads the patterns in sysfs.
    """
    answer = ask(machine, "key", action="show", **place)
    if as_json:
        print_json(answer["done"])
    elif answer["done"] or not answer["refused"]:
        _draw(answer["done"])
    _end(answer)


def _read_part(name: str) -> bytes:
    """A key part out of a file, or typed."""
    return _typed_part() if name == "-" else _read(name, "key part")


def _read(name: str, what: str) -> bytes:
    """The content of a file; no message ever has any of it."""
    try:
        with Path(name).open("rb") as file:
            return file.read(_LONGEST_FILE)
    except (OSError, ValueError) as error:
        if _LOOKS_LIKE_A_KEY.fullmatch(name):
            text = f"a {what} is never given on the command line, where others can see it: give a file, or -"
            raise ControlError(text, code=UNREADABLE) from None
        reason = error.strerror if isinstance(error, OSError) else error
        raise ControlError(f"{name}: the {what} cannot be read: {reason}", code=UNREADABLE) from None


def _typed_part() -> bytes:
    if sys.stdin.isatty():
        return str(click.prompt("key part, in hexadecimal", hide_input=True)).encode("utf-8", "surrogateescape")
    return next_line()


def _change(*, machine: str | None, as_json: bool, **fields: Any) -> None:
    """Have something done to each domain, and tell what has become of it."""
    answer = ask(machine, "key", **fields)
    if as_json:
        print_json(answer["done"])
    for keys in () if as_json else answer["done"]:
        for label, registers in keys["registers"].items():
            states = ", ".join(f"{name} {_register(register)}" for name, register in registers.items())
            click.echo(f"{keys['apqn']} {label}: {states}")
        if not keys["registers"]:
            click.echo(f"{keys['apqn']}: all registers are empty")
        if len(keys["controllers"]) > 1:
            click.echo(f"{keys['apqn']} is controlled by {' and '.join(keys['controllers'])}")
    _end(answer)


def _end(answer: dict[str, Any]) -> None:
    if answer["refused"]:
        raise ControlError(answer["refused"])


def _register(register: dict[str, Any], digits: int | None = None) -> str:
    """State and pattern, of which ``digits`` are enough to tell keys apart."""
    state, pattern = str(register["state"]), register["pattern"] or ""
    return f"{state} {pattern[:digits]}{'…' if pattern[:digits] != pattern else ''}" if pattern else state


def _draw(found: list[dict[str, Any]]) -> None:
    """A row for each set that has a key; the domains without one together."""
    from rich import box  # noqa: PLC0415 - slow
    from rich.table import Table  # noqa: PLC0415 - slow

    out = console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in ("queue", "type", "key", "new", "current", "old", "controlled by"):
        table.add_column(title, overflow="fold")
    empty: dict[tuple[int, str], list[int]] = {}
    for keys in found:
        rows = [(label, registers) for label, registers in keys["registers"].items() if _in_use(registers)]
        if not rows:
            empty.setdefault((keys["adapter"], keys["type"]), []).append(keys["domain"])
        for label, registers in rows:
            shown = {name: _register(register, _DIGITS) for name, register in registers.items()}
            cells = (shown.get(name, "") for name in ("new", "current", "old"))
            table.add_row(keys["apqn"], keys["type"], label, *cells, ", ".join(keys["controllers"]))
    if table.row_count:
        out.print(table)
    for (adapter, card_type), domains in empty.items():
        out.print(f"adapter {adapter} {card_type}: no master keys in domain {Mask.of(*domains).ranges()}")
    if not found:
        out.print("no coprocessor is within reach: only they have master keys")


def _in_use(registers: dict[str, Any]) -> bool:
    return any(register["state"] not in ("empty", "invalid") for register in registers.values())
