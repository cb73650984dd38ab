"""What commands print with ``--json``: one document each, with a version and a kind (docs/json.md).

It is in UTF-8 in every locale (RFC 8259, 8.1).

Every end has its document: where a command fails, that of the error, unless it has printed its own already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec import Struct, json

from apmatrix.arch import Apqn, Mask
from apmatrix.rules.findings import printed
from apmatrix.service.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from apmatrix.rules.findings import Finding

VERSION: Final = 1
"""Of all documents: fields are added without a new version, but none is taken away or gets another meaning."""

_OPTION: Final = "--json"
_ENDED: Final = "apmatrix.json.ended"

json_option = click.option(_OPTION, "as_json", is_flag=True, help="Print the facts as JSON.")


def print_document(facts: Any, refused: Finding | None = None) -> None:
    """Print the document of the running command: its facts, and what kept it from doing the rest."""
    context = click.get_current_context()
    document = _document(_kind(context), facts)
    if refused is not None:
        document["error"] = error_facts(str(refused), ExitCode.REFUSED, (refused,))
    click.echo(json.format(_encoded(document), indent=2))
    context.meta[_ENDED] = True


def print_document_line(facts: Any) -> None:
    """Print one of many documents of the running command, as a line; an error may still follow."""
    _print_line(_document(_kind(click.get_current_context()), facts))


def print_error(error: Mapping[str, Any]) -> None:
    """Print the document of an error, as a line: others may have come before it."""
    _print_line(_document("error", {"error": error}))


def _kind(context: click.Context) -> str:
    """The words of a command: ``key-show``."""
    words: list[str] = []
    while context.parent is not None:
        words.insert(0, str(context.info_name))
        context = context.parent
    return "-".join(words)


def _document(kind: str, facts: Any) -> dict[str, Any]:
    return {"version": VERSION, "kind": kind, **plain(facts)}


def _print_line(document: Mapping[str, Any]) -> None:
    click.echo(_encoded(document))


def _encoded(document: Mapping[str, Any]) -> bytes:
    r"""A document as JSON; bytes of a file's name that are not text become ``\udcff``, as on standard error."""
    try:
        return json.encode(document)
    except UnicodeEncodeError:
        return json.encode(_text_only(document))


def _text_only(value: Any) -> Any:
    if isinstance(value, str):
        return printed(value)
    if isinstance(value, Mapping):
        return {key: _text_only(each) for key, each in value.items()}
    return [_text_only(each) for each in value] if isinstance(value, list) else value


def error_facts(text: str, code: int, findings: Iterable[Finding] = ()) -> dict[str, Any]:
    """An error as plain data: the sentence, the exit code, and what was found or refused."""
    return {"text": text, "exit_code": int(code), "findings": [finding.as_json() for finding in findings]}


def plain(value: Any) -> Any:
    """A value as JSON has it: masks as lists of numbers, APQNs as ``05.00ab``, objects by their fields."""
    if isinstance(value, Apqn | Mask):
        return str(value) if isinstance(value, Apqn) else list(value)
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if hasattr(value, "as_json"):
        return value.as_json()
    return plain(_fields(value)) if is_dataclass(value) or isinstance(value, Struct) else value


def _fields(value: Any) -> dict[str, Any]:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    config = value.__struct_config__
    tag = {config.tag_field: config.tag} if config.tag_field else {}
    return tag | {name: getattr(value, name) for name in value.__struct_fields__}


def asks_for_json(command: click.Command, words: Sequence[str]) -> bool:
    """True if a command line has ``--json`` for us, and not for the command that apmatrix is to run.

    It may be wrong otherwise: its error is then a document, too.
    """
    own = words[: words.index("--")] if "--" in words else words
    if _OPTION not in own:
        return False
    context = click.Context(command)
    for word in own:
        below = command.get_command(context, word) if isinstance(command, click.Group) else None
        command = below or command
    return not command.ignore_unknown_options


def needs_document(context: click.Context) -> bool:
    """True unless the command has printed its document."""
    return not context.meta.get(_ENDED)
