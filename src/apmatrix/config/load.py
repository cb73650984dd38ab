"""Loading a configuration file."""

from __future__ import annotations

import os
import re
import tomllib
import zlib
from dataclasses import replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import structs

from apmatrix.config import hints
from apmatrix.config.checks import check
from apmatrix.config.findings import ConfigError
from apmatrix.config.places import Places
from apmatrix.config.reader import Reader
from apmatrix.config.schema import AdapterFile, FileTables, GuestFile, MachineFile
from apmatrix.config.values import PartFiles
from apmatrix.rules.findings import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MEBIBYTE = 1 << 20
MAX_SIZE = 16 * MEBIBYTE
"""Bytes of the longest file that is read."""

_NAMESPACE = uuid5(NAMESPACE_URL, "apmatrix:mdev")


def load(path: str | os.PathLike[str], *, allow_refused: bool = False) -> MachineFile:
    """Read and check a configuration file.

    ConfigError has all findings if the file cannot be understood, or asks for what the machine refuses. With
    ``allow_refused`` the latter is not an error: the file carries the findings, and the machine will refuse.
    """
    if not os.fspath(path):
        raise _unreadable("''", "is not the name of a file")
    return parse(_text(FilePath(path)), str(path), allow_refused=allow_refused)


def parse(text: str, path: str, *, allow_refused: bool = True) -> MachineFile:
    """Parse and check the text of a file; ``path`` is its name in findings. Errors as for :func:`load`."""
    text = text.removeprefix("\ufeff")  # the mark with which some editors begin a file
    try:
        content = tomllib.loads(text)
        file = _read(content, path, Places(text))
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(path, *_syntax(str(error), text)) from None
    except RecursionError:
        raise _unreadable(path, "values are nested too deeply", remedy="take some levels out") from None
    except ValueError as error:  # tomllib passes on those of int() and datetime()
        raise _unreadable(path, f"a value cannot be read: {error}") from None
    return file if allow_refused else _accepted(file)


def read_tables(content: dict[str, Any], name: str, *, allow_refused: bool = False) -> MachineFile:
    """The file for tables that a program made, shaped as ``tomllib`` gives them; ``name`` is its name in findings.

    Errors as for :func:`load`; their findings have no line.
    """
    file = _read(content, name, Places(""))
    return file if allow_refused else _accepted(file)


def read_adapter(content: dict[str, Any], name: str) -> AdapterFile:
    """The adapter that one such table describes; errors as for :func:`read_tables`."""
    reader = Reader(name, Places(""))
    adapter = reader.table(AdapterFile, content, ("adapter",))
    if adapter is None or reader.findings:
        raise ConfigError(reader.findings)
    return adapter


def _read(content: dict[str, Any], path: str, places: Places) -> MachineFile:
    reader = Reader(path, places)
    tables = reader.table(FileTables, content)
    misread = any(finding.severity is Severity.ERROR for finding in reader.findings)
    if tables is not None:
        check(tables, reader)
    reader.findings.sort(key=lambda finding: finding.line or 0)
    errors = [finding for finding in reader.findings if finding.severity is Severity.ERROR]
    if tables is None or errors:
        # What would be refused is not known as long as parts of the file have no meaning.
        raise ConfigError(errors if misread else _serious(reader.findings))
    return _resolved(tables, path, reader)


def _text(path: FilePath) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_SIZE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _unreadable(str(path), f"cannot be read: {reason}") from None
    if len(data) > MAX_SIZE:
        raise _unreadable(str(path), f"is larger than {MAX_SIZE // MEBIBYTE} MiB, so it is not a configuration file")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _unreadable(str(path), "is not UTF-8 text", line, "save it in that encoding") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise _unreadable(str(path), "has a NUL character, as UTF-16 text has", line, "save it in UTF-8")
    return text


def _accepted(file: MachineFile) -> MachineFile:
    """The file, unless the machine will refuse what it asks for."""
    if refused := _serious(file.findings):
        raise ConfigError(refused)
    return file


def _serious(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is not Severity.WARNING]


def _unreadable(path: str, message: str, line: int | None = None, remedy: str = "") -> ConfigError:
    return ConfigError([Finding(Severity.ERROR, message, remedy, file=path, line=line)])


def _syntax(message: str, text: str) -> tuple[str, int | None, str]:
    """The message, the line and the remedy for a syntax error, from tomllib's message."""
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    if not found:
        return f"is not valid TOML: {message}", None, ""
    number = int(found[2])
    remedy = hints.line(text.split("\n")[number - 1])
    return f"is not valid TOML: {found[1]} (column {found[3]})", number, remedy


def _machine_name(stem: str) -> str:
    """The name of a machine whose file gives none: the file's, with ``-`` for spaces, or one like it."""
    simple = stem.replace(" ", "-")
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", simple):
        return simple
    cleaned = re.sub(r"[^A-Za-z0-9._-]", "-", stem).lstrip("-._")[:50] or "machine"
    return f"{cleaned}-{zlib.crc32(os.fsencode(stem)):08x}"


def _resolved(tables: FileTables, path: str, reader: Reader) -> MachineFile:
    """The file with the defaults that depend on names, and the files that it names relative to its own."""
    folder = FilePath(path).parent
    name = tables.machine.name or _machine_name(FilePath(path).stem)
    file = MachineFile(
        path=path,
        places=reader.places,
        machine=structs.replace(tables.machine, name=name),
        adapters=tables.adapters,
        master_keys=tuple(
            structs.replace(entry, parts=PartFiles(str((folder / part).absolute()) for part in entry.parts))
            for entry in tables.master_keys
        ),
        lpars=tuple(
            structs.replace(lpar, guests=_named(lpar.guests, f"{name}/{lpar.name}")) for lpar in tables.lpars
        ),
    )
    uuids = {"/".join(names): str(guest.uuid) for names, guest in file.guests()} if reader.findings else {}
    return structs.replace(file, findings=tuple(_with_uuids(finding, uuids) for finding in reader.findings))


def _with_uuids(finding: Finding, uuids: Mapping[str, str]) -> Finding:
    """The finding with the UUIDs of the guests that hold something."""
    holders = (replace(each, uuid=uuids[each.name]) if each.kind == "guest" else each for each in finding.holders)
    return replace(finding, holders=tuple(holders))


def _named(guests: tuple[GuestFile, ...], above: str) -> tuple[GuestFile, ...]:
    """The guests with their UUIDs, which follow from all names from the machine down."""
    return tuple(
        structs.replace(
            guest,
            uuid=guest.uuid or _uuid(f"{above}/{guest.name}"),
            guests=_named(guest.guests, f"{above}/{guest.name}"),
        )
        for guest in guests
    )


def _uuid(names: str) -> UUID:
    return uuid5(_NAMESPACE, names)
