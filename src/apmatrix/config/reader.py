"""From TOML tables to the declared ones, collecting every finding instead of stopping at the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct

from apmatrix.arch import Mask
from apmatrix.arch.errors import BadText
from apmatrix.config import hints
from apmatrix.config.findings import dotted
from apmatrix.config.hints import entry, fields_of, header
from apmatrix.config.values import READERS, FaultWords, Number, shown
from apmatrix.rules.findings import Finding, Severity
from apmatrix.rules.readings import fault_doubts, octal_doubts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from msgspec.structs import FieldInfo

    from apmatrix.arch import Apqn
    from apmatrix.config.places import Path, Places
    from apmatrix.rules.findings import Holder

S = TypeVar("S", bound=Struct)

MAX_DEPTH = 16
"""Levels of guests that a file may describe."""

_NOTHING = object()
_NUMBERED: Final = Mask | Number


class Reader:
    """Reads one file's tables, and collects ``findings`` about them."""

    def __init__(self, file: str, places: Places) -> None:
        self.file = file
        self.findings: list[Finding] = []
        self.places = places

    def note(
        self,
        severity: Severity,
        path: Path,
        message: str,
        remedy: str = "",
        *,
        apqns: Iterable[Apqn] = (),
        refuses: Iterable[str] = (),
        holders: Iterable[Holder] = (),
        rule: str = "",
        errno: str = "",
    ) -> None:
        """Record a finding about the value at ``path``."""
        self.findings.append(
            Finding(
                severity,
                message,
                remedy,
                file=self.file,
                line=self.places.line(path),
                path=dotted(path),
                apqns=tuple(apqns),
                refuses=tuple(refuses),
                holders=tuple(holders),
                rule=rule,
                errno=errno,
            )
        )

    def table(self, kind: type[S], content: object, path: Path = ()) -> S | None:
        """``content`` as a ``kind``; None, with a finding, if it cannot be one."""
        if not isinstance(content, dict):
            self._error(path, f"is {shown(content)}, but must be a table", f"write [{header(path)}]")
            return None
        if path.count("guest") > MAX_DEPTH:
            self._error(path, f"more than {MAX_DEPTH} levels of guests", "take some out")
            return None
        fields = fields_of(kind)
        self._unknown(content.keys() - fields.keys(), fields, path)
        values = {}
        for key, info in fields.items():
            if key in content:
                values[info.name] = self._field(info, content[key], (*path, key))
            elif info.required:
                values[info.name] = _NOTHING
                self._error(path, *_missing(info))
        if any(value is _NOTHING for value in values.values()):
            return None
        return kind(**values)

    def _field(self, info: FieldInfo, value: object, path: Path) -> Any:
        inner = entry(info.type)
        if not (isinstance(inner, type) and issubclass(inner, Struct)):
            return self._value(info.type, value, path)
        if inner is info.type:
            return self._useful(self.table(inner, value, path))
        if not isinstance(value, list) or (info.required and not value):
            self._error(path, f"is {shown(value)}, but must be a list of tables", f"write [[{header(path)}]]")
            return _NOTHING
        tables = [self.table(inner, each, (*path, index)) for index, each in enumerate(value)]
        # Without one of them the others would have the wrong indices, and their findings the wrong lines.
        return _NOTHING if None in tables else tuple(tables)

    @staticmethod
    def _useful(table: S | None) -> S | object:
        return _NOTHING if table is None else table

    def _value(self, kind: Any, value: object, path: Path) -> Any:
        try:
            found = _read(kind, value)
        except msgspec.ValidationError:
            self._error(path, f"is {shown(value)}, but must be {_expected(kind)}", hints.word(kind, value))
        except BadText as error:
            self._error(path, error.message, error.remedy)
        except ValueError as error:
            self._error(path, str(error))
        else:
            if isinstance(found, _NUMBERED | FaultWords):
                self._doubt(value, path, of_fault=isinstance(found, FaultWords))
            return found
        return _NOTHING

    def _doubt(self, value: object, path: Path, *, of_fault: bool) -> None:
        """Record the numbers that may be meant otherwise than they are read."""
        if isinstance(value, list):
            for index, each in enumerate(value):
                self._doubt(each, (*path, index), of_fault=of_fault)
        elif isinstance(value, str):
            what = "domain" if "domain" in header(path[-2:]) else "adapter"
            for text, remedy in fault_doubts(value) if of_fault else octal_doubts(value, what):
                self.note(Severity.WARNING, path, text, remedy)

    def _unknown(self, keys: set[str], known: dict[str, FieldInfo], path: Path) -> None:
        for key in sorted(keys):
            self._error((*path, key[:64]), "is not a key", hints.unknown_key(key, known, path))

    def _error(self, path: Path, message: str, remedy: str = "") -> None:
        self.note(Severity.ERROR, path, message, remedy)


def _read(kind: Any, value: object) -> Any:
    """``value`` as a ``kind``; ValidationError or another ValueError if it cannot be one."""
    for part in (kind, *get_args(kind)):
        if part in READERS:
            return READERS[part](value)
    return msgspec.convert(value, kind)


def _missing(info: FieldInfo) -> tuple[str, str]:
    if entry(info.type) is not info.type:
        return f"there is no {info.encode_name}", f"write [[{info.encode_name}]] and its keys"
    return f"the key {info.encode_name} is missing", f"it must be {_expected(info.type)}"


def _expected(kind: Any) -> str:
    """What a field's declaration says it must be."""
    for part in (kind, *get_args(kind)):
        if get_origin(part) is Annotated:
            return str(part.__metadata__[0].description)
    raise TypeError(f"{kind} is declared without a description")
