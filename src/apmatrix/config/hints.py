"""What the writer of a file may have meant: keys, tables and words that do not exist, and lines that are not TOML."""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec import Struct

from apmatrix.config.schema import FileTables
from apmatrix.rules.keyparts import looks_like_a_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from msgspec.structs import FieldInfo

    from apmatrix.config.places import Path

_LONGEST: Final = 64
_CLOSE: Final = 0.75
_SYNONYMS: Final = {"offline": "deconfigured"}


@functools.cache
def fields_of(kind: type[Struct]) -> dict[str, FieldInfo]:
    """The declared keys of a table."""
    return {info.encode_name: info for info in msgspec.structs.fields(kind)}


def entry(kind: Any) -> Any:
    """The type of a list's elements; other types as they are."""
    return get_args(kind)[0] if get_origin(kind) is tuple else kind


def header(path: Path) -> str:
    """The name in a table's header: ``lpar.guest``."""
    return ".".join(part for part in path if isinstance(part, str))


def unknown_key(key: str, known: Iterable[str], path: Path) -> str:
    """What to write instead of ``key`` in the table at ``path``, whose keys are ``known``."""
    keys = list(known)
    plain = key[:_LONGEST].casefold().replace("-", "_")
    if close := difflib.get_close_matches(plain, keys, n=1, cutoff=_CLOSE):
        return f"did you mean {close[0]}?"
    if homes := _homes_near(plain, header(path)):
        return f"did you mean {_either(homes)}?"
    if close := difflib.get_close_matches(plain, keys, n=1):
        return f"did you mean {close[0]}?"
    for other in difflib.get_close_matches(plain, _homes(), n=1, cutoff=_CLOSE):
        return f"did you mean {_either(_homes_near(other, header(path)))}?"
    return f"the keys are {', '.join(keys)}"


def _homes_near(key: str, table: str) -> list[str]:
    """Where ``key`` belongs: in tables below ``table`` if it can be there, else anywhere."""
    homes = _homes().get(key, [])
    below = [home for home in homes if table and re.search(rf"\[{re.escape(table)}\.", home)]
    return below or homes


@functools.cache
def _homes() -> dict[str, list[str]]:
    """Each key with its places: ``apmask of [lpar.host]``; a table with its header."""
    homes: dict[str, list[str]] = {}
    for key, place in _places(FileTables, (), ()):
        homes.setdefault(key, []).append(place)
    return homes


def _places(kind: type[Struct], path: tuple[str, ...], above: tuple[type[Struct], ...]) -> Iterator[tuple[str, str]]:
    own = f"[{'.'.join(path)}]"
    own = f"[{own}]" if above and kind.__name__ in _LISTED else own
    for key, info in fields_of(kind).items():
        inner = entry(info.type)
        if not (isinstance(inner, type) and issubclass(inner, Struct)):
            yield key, f"{key} of {own}"
            continue
        name = f"[{'.'.join((*path, key))}]"
        yield key, name if inner is info.type else f"[{name}]"
        if inner not in (*above, kind):
            yield from _places(inner, (*path, key), (*above, kind))


_LISTED: Final = {"AdapterFile", "MasterKeyFile", "LparFile", "GuestFile"}


def _either(places: list[str]) -> str:
    """``apmask of [lpar.host] or [lpar.guest.host]``."""
    first, *others = places
    start = first.partition("[")[0]
    names = [first, *(other.removeprefix(start) for other in others)]
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def word(kind: Any, value: object) -> str:
    """What to write instead of a value that is not of ``kind``; empty if nothing is near."""
    if not isinstance(value, str):
        return ""
    words = list(_words(kind))
    plain = value[:_LONGEST].casefold()
    meant = _SYNONYMS.get(plain)
    close = [meant] if meant in words else difflib.get_close_matches(plain, [each.casefold() for each in words], n=1)
    for each in words:
        if close and each.casefold() == close[0]:
            return f"did you mean '{each}'?" if _is_a(kind, each) else f"did you mean ['{each}']?"
    try:
        plain_value = tomllib.loads(f"value = {value.casefold()}")["value"]
    except ValueError:
        return ""
    return f"did you mean {value.casefold()} without quotes?" if _is_a(kind, plain_value) else ""


def _is_a(kind: Any, value: object) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _words(kind: Any) -> Iterator[str]:
    """The texts that a declared type allows."""
    if get_origin(kind) is Literal:
        yield from (each for each in get_args(kind) if isinstance(each, str))
    for part in get_args(kind) if get_origin(kind) is not Literal else ():
        if not isinstance(part, msgspec.Meta):
            yield from _words(part)


_ASSIGNMENT = re.compile(
    r"\s*(?P<key>[A-Za-z0-9_.-]+)\s*(?P<sign>[=:]?)\s*(?P<value>[^\s\"'\[{#][^\"'#]*?)?\s*(?:#.*)?"
)


def line(text: str) -> str:
    """What to write instead of a line that is not TOML; empty if there is no telling."""
    found = _ASSIGNMENT.fullmatch(text[:200])
    if not found or not found["value"] or looks_like_a_key(found["value"]):
        return ""
    key, value = found["key"], found["value"]
    if found["sign"] == ":":
        return f"did you mean {key} = {value}?" if _is_toml(value) else f'did you mean {key} = "{value}"?'
    if not found["sign"] or _is_toml(value):
        return ""
    if re.fullmatch(r"0[0-9]+", value):
        return f"did you mean {key} = {value.lstrip('0') or '0'}? TOML takes no zeros before a number"
    return f'did you mean {key} = "{value}"? Texts, and several numbers, are in quotes'


def _is_toml(value: str) -> bool:
    try:
        tomllib.loads(f"value = {value}")
    except ValueError:
        return False
    return True
