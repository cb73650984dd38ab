"""``apmatrix key make``, ``check``, ``reencipher``: files with secure keys, as zkey keeps them."""

from __future__ import annotations

import stat
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

import click
import msgspec

from apmatrix.cli.documents import print_document
from apmatrix.cli.keyplace import KeyPlace, end_with, place_options, read_secret_file
from apmatrix.cli.output import print_line
from apmatrix.service.client import ask
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.protocol.keys import (
    CheckedKey,
    CheckKeys,
    KeyFile,
    KindName,
    MakeKey,
    ReencipheredFile,
    ReencipherFiles,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_BITS: Final = ("128", "192", "256")


_KINDS: Final[tuple[KindName, ...]] = get_args(KindName)
_SHORT: Final[dict[str, KindName]] = {"aesdata": "CCA-AESDATA", "aescipher": "CCA-AESCIPHER", "ep11": "EP11-AES"}


def _kind(ctx: click.Context, param: click.Parameter, value: str | None) -> KindName | None:
    """A kind of key by zkey's name or its short one, in any case; a usage error for anything else."""
    if value is None:
        return None
    names = {**_SHORT, **{kind.lower(): kind for kind in _KINDS}}
    if value.lower() not in names:
        raise click.BadParameter(f"{value!r} is not one of {', '.join(_KINDS)}", ctx, param)
    return names[value.lower()]


@click.command()
@click.argument("file", metavar="FILE")
@click.option(
    "--type",
    "kind",
    callback=_kind,
    metavar="TYPE",
    help="By default CCA-AESDATA or EP11-AES, as the card is.",
)
@click.option("--bits", type=click.Choice(_BITS), default="256", show_default=True, help="The key's size.")
@click.option("--xts", is_flag=True, help="Two keys of that size, for AES-XTS.")
@click.option("--force", is_flag=True, help="Replace FILE if it already exists and is a regular file.")
@place_options(one_domain=True, carried=False)
def make(file: str, kind: KindName | None, bits: str, xts: bool, force: bool, place: KeyPlace) -> None:
    """Make a random secure AES key through the queue of a domain, and write it to FILE.

    FILE is for its owner only, and has the format of zkey. The key in it is wrapped by the domain's master key: only
    a card with that master key can use it.

    \b
      apmatrix key make disk.key --domain 6 --from guest1
      apmatrix key make disk.key --type CCA-AESCIPHER --xts --domain 6
    """
    path = Path(file)
    _require_place(path, "give another FILE, or --force to lose what is in it", replace=force)
    (domain,) = place.required_domains
    made = ask(place.machine, place.fill(MakeKey(domain=domain, type=kind, bits=int(bits), xts=xts)))
    from apmatrix.service.keystore import keep_blobs  # noqa: PLC0415 - slow

    keep_blobs({path: made.content}, replace=force)
    if place.as_json:
        facts = msgspec.structs.asdict(made)
        del facts["content"]
        print_document({"file": file, **facts})
        return
    size = f"of twice {made.bits} bits" if made.xts else f"of {made.bits} bits"
    print_line(f"{file}: {made.type} key {size} under the {made.key_set} of {made.apqn}, pattern {made.pattern}")


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@place_options(domain_needed=False, carried=False)
def check(files: tuple[str, ...], place: KeyPlace) -> None:
    """Have cards open the secure keys in FILE, and show which queues can.

    All queues are tried that the system uses, or those of the named domains and adapters. The exit code is 1 if there
    is a key that none can open.

    \b
      apmatrix key check disk.key --from guest1
      apmatrix key check *.key --domain 6
    """
    contents = tuple(KeyFile(name, read_secret_file(name, "secure key")) for name in files)
    found = ask(place.machine, place.fill(CheckKeys(files=contents, domains=place.domains)))
    if place.as_json:
        print_document({"keys": found})
    for key in () if place.as_json else found:
        print_line(f"{key.file}: {_described(key)}")
    if any(key.findings for key in found):
        sys.exit(ExitCode.REFUSED)


def _described(key: CheckedKey) -> str:
    what = f"{key.type} key" + (f" of {key.bits} bits" if key.bits else "")
    if key.findings:
        return f"{what}, pattern {key.pattern}: {key.findings[0].text}"
    ways = []
    for register in ("current", "old"):
        queues = [opener.apqn for opener in key.openers if opener.register == register]
        if queues:
            ways.append(f"{_listed(queues)} with the {register} {key.key_set}")
    return f"{what}, opened by {', and by '.join(ways)}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


@click.command()
@click.argument("blobs", nargs=-1, required=True, metavar="BLOB...")
@click.option("--output", metavar="FILE", help="Where the result goes, by default to BLOB.new.")
@place_options(one_domain=True)
def reencipher(blobs: tuple[str, ...], output: str | None, place: KeyPlace) -> None:
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
    if again := next((name for name, times in Counter(blobs).items() if times > 1), None):
        raise click.UsageError(f"{again} is given twice")
    outputs = [Path(output or f"{name}.new") for name in blobs]
    for path in outputs:
        _require_place(path, "move it away, or give another --output")
    files = tuple(KeyFile(name, read_secret_file(name, "key blob")) for name in blobs)
    (domain,) = place.required_domains
    answer = ask(place.machine, place.fill(ReencipherFiles(domain=domain, files=files)))
    end_with(answer.refused)
    done = _keep(answer.done, outputs)
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


def _keep(found: Sequence[ReencipheredFile], paths: Sequence[Path]) -> list[_Kept]:
    """Write the re-enciphered blobs, all or none; the facts about them."""
    from apmatrix.service.keystore import keep_blobs  # noqa: PLC0415 - slow

    keep_blobs({path: file.content for file, path in zip(found, paths, strict=True)})
    return [_Kept(file.name, file.apqn, file.pattern, str(path)) for file, path in zip(found, paths, strict=True)]


def _require_place(path: Path, remedy: str, *, replace: bool = False) -> None:
    """ControlError unless nothing is at ``path``, or a regular file that is to be replaced: no device, no link."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # the attempt to make it says what is wrong
    if not replace:
        raise ControlError(f"{path} already exists: {remedy}")
    if not stat.S_ISREG(mode):
        raise ControlError(f"{path} is not a regular file, and is not replaced: give another FILE")
