"""From TOML tables to the declared ones, collecting every finding instead of stopping at the first."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct

from apmatrix.config.findings import Finding, Severity, dotted
from apmatrix.config.values import READERS, shown

if TYPE_CHECKING:
    from msgspec.structs import FieldInfo

    from apmatrix.config.places import Path, Places

S = TypeVar("S", bound=Struct)

MAX_DEPTH = 16
"""Levels of guests that a file may describe."""

_NOTHING = object()


class Reader:
    """Reads one file's tables, and collects ``findings`` about them."""

    def __init__(self, file: str, places: Places) -> None:
        self.file = file
        self.findings: list[Finding] = []
        self.places = places

    def note(self, severity: Severity, path: Path, text: str) -> None:
        """Record a finding about the value at ``path``."""
        self.findings.append(Finding(severity, self.file, self.places.line(path), dotted(path), text))

    def table(self, kind: type[S], content: object, path: Path = ()) -> S | None:
        """``content`` as a ``kind``; None, with a finding, if it cannot be one."""
        if not isinstance(content, dict):
            self._error(path, f"is {shown(content)}, but must be a table: write [{_header(path)}]")
            return None
        if path.count("guest") > MAX_DEPTH:
            self._error(path, f"more than {MAX_DEPTH} levels of guests: take some out")
            return None
        fields = {info.encode_name: info for info in msgspec.structs.fields(kind)}
        self._unknown(content.keys() - fields.keys(), fields, path)
        values = {}
        for key, info in fields.items():
            if key in content:
                values[info.name] = self._field(info, content[key], (*path, key))
            elif info.required:
                values[info.name] = _NOTHING
                self._error(path, _missing(info))
        if any(value is _NOTHING for value in values.values()):
            return None
        return kind(**values)

    def _field(self, info: FieldInfo, value: object, path: Path) -> Any:
        inner = _entry(info.type)
        if not (isinstance(inner, type) and issubclass(inner, Struct)):
            return self._value(info.type, value, path)
        if inner is info.type:
            return self._useful(self.table(inner, value, path))
        if not isinstance(value, list) or (info.required and not value):
            self._error(path, f"is {shown(value)}, but must be a list of tables: write [[{_header(path)}]]")
            return _NOTHING
        tables = [self.table(inner, entry, (*path, index)) for index, entry in enumerate(value)]
        return tuple(entry for entry in tables if entry is not None)

    @staticmethod
    def _useful(table: S | None) -> S | object:
        return _NOTHING if table is None else table

    def _value(self, kind: Any, value: object, path: Path) -> Any:
        try:
            return _read(kind, value)
        except msgspec.ValidationError:
            self._error(path, f"is {shown(value)}, but must be {_expected(kind)}")
        except ValueError as error:
            self._error(path, str(error))
        return _NOTHING

    def _unknown(self, keys: set[str], known: dict[str, FieldInfo], path: Path) -> None:
        for key in sorted(keys):
            close = difflib.get_close_matches(key[:64], known, n=1)
            remedy = f"did you mean {close[0]}?" if close else f"the keys are {', '.join(known)}"
            self._error((*path, key[:64]), f"is not a key; {remedy}")

    def _error(self, path: Path, text: str) -> None:
        self.note(Severity.ERROR, path, text)


def _read(kind: Any, value: object) -> Any:
    """``value`` as a ``kind``; ValidationError or another ValueError if it cannot be one."""
    for part in (kind, *get_args(kind)):
        if part in READERS:
            return READERS[part](value)
    return msgspec.convert(value, kind)


def _entry(kind: Any) -> Any:
    """The type of a list's elements; other types as they are."""
    return get_args(kind)[0] if get_origin(kind) is tuple else kind


def _missing(info: FieldInfo) -> str:
    if _entry(info.type) is not info.type:
        return f"there is no {info.encode_name}: write [[{info.encode_name}]] and its keys"
    return f"the key {info.encode_name} is missing: it must be {_expected(info.type)}"


def _expected(kind: Any) -> str:
    """What a field's declaration says it must be."""
    for part in (kind, *get_args(kind)):
        if get_origin(part) is Annotated:
            return str(part.__metadata__[0].description)
    raise TypeError(f"{kind} is declared without a description")


def _header(path: Path) -> str:
    return ".".join(part for part in path if isinstance(part, str))
