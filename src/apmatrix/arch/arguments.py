"""Arguments of public functions, checked against the types that their signatures have.

A caller without a type checker gets one sentence in Python's words, at the call, instead of an error from the inside:
``Machine() argument lpars[0] must be LparConfig, not str``.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, wraps
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

__tracebackhide__ = True  # pytest shows the caller's line instead

T = TypeVar("T", bound=Callable[..., Any])

_TEXTS: Final = (str, bytes, bytearray, memoryview)
"""What can be iterated over, but is never meant as several things."""

_GENERIC: Final = {
    Literal: "str",
    Callable: "a function",
    Iterable: "an iterable of {}",
    Sequence: "a list of {}",
    Mapping: "a mapping of {} to {}",
    tuple: "a pair of {} and {}",
}
"""What the types that have parameters are called."""


_BY_PLACE: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class _Unfit(Exception):
    """A value that is not of a type, and where in the argument it is."""

    def __init__(self, place: str, kind: Any, value: object) -> None:
        super().__init__(place, kind, value)
        self.place, self.kind, self.value = place, kind, value


def checked(target: T) -> T:
    """Make a function, or the constructor of a class, raise TypeError for arguments that are not of their types.

    Names in the annotations must be there at run time. What can be iterated over only once arrives as a
    tuple, and any bytes as ``bytes``.
    """
    if isinstance(target, type):
        target.__init__ = checked(target.__init__)  # type: ignore[misc]
        return target
    signature = inspect.signature(target)
    name = target.__qualname__.removesuffix(".__init__")

    @cache
    def kinds() -> dict[str, Any]:
        return {key: kind for key, kind in get_type_hints(target).items() if key != "return"}

    @cache
    def plain() -> tuple[tuple[type, ...], ...]:
        places = (each.name for each in signature.parameters.values() if each.kind in _BY_PLACE)
        return tuple(_classes(kinds().get(place, object)) for place in places)

    @wraps(target)
    def call(*args: Any, **named: Any) -> Any:
        if not named and len(args) <= len(plain()) and all(map(isinstance, args, plain())):
            return target(*args)
        try:
            bound = signature.bind(*args, **named)
        except TypeError:
            return target(*args, **named)  # Python says what is missing, or too much
        for key, kind in kinds().items():
            if key not in bound.arguments:
                continue
            try:
                bound.arguments[key] = _argument(key, bound.arguments[key], kind, signature.parameters[key].kind)
            except _Unfit as unfit:
                raise wrong_type(name, unfit.place, unfit.kind, unfit.value) from None
        return target(*bound.args, **bound.kwargs)

    return call  # type: ignore[return-value]


def wrong_type(function: str, argument: str, kind: Any, value: object) -> TypeError:
    """The error for an argument that is not of its type; for functions where :func:`checked` would take too long."""
    found = "None" if value is None else type(value).__name__
    return TypeError(f"{function}() argument {argument} must be {_described(kind)}, not {found}")


def _classes(kind: Any) -> tuple[type, ...]:
    """Classes whose instances are of the type, whatever is in them."""
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    return tuple(each for each in kinds if isinstance(each, type) and not _is_protocol(each))


def _argument(place: str, value: Any, kind: Any, parameter: object) -> Any:
    if parameter is inspect.Parameter.VAR_POSITIONAL:
        return tuple(_fitting(f"{place}[{index}]", each, kind) for index, each in enumerate(value))
    return _fitting(place, value, kind)


def _fitting(place: str, value: Any, kind: Any) -> Any:
    """The value as the function gets it; _Unfit if it is not of the type."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of(place, value, kind, parts)
    if kind is bytes and isinstance(value, bytearray | memoryview):
        return bytes(value)
    if origin is tuple:
        if isinstance(value, tuple) and len(value) == len(parts):
            return tuple(_fitting(f"{place}[{at}]", *pair) for at, pair in enumerate(zip(value, parts, strict=True)))
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        if isinstance(value, origin):
            pairs = ((key, each, f"{place}[{key!r:.40}]") for key, each in value.items())
            return {_fitting(at, key, parts[0]): _fitting(at, each, parts[1]) for key, each, at in pairs}
    elif isinstance(origin, type) and issubclass(origin, Iterable):
        if isinstance(value, origin) and not isinstance(value, _TEXTS):
            many = tuple(_fitting(f"{place}[{at}]", each, parts[0]) for at, each in enumerate(value))
            return value if isinstance(value, Collection) else many
    elif _is(value, origin or kind):
        return value
    raise _Unfit(place, kind, value)


def _one_of(place: str, value: Any, kind: Any, parts: tuple[Any, ...]) -> Any:
    inside: _Unfit | None = None
    for part in parts:
        try:
            return _fitting(place, value, part)
        except _Unfit as unfit:
            inside = unfit if unfit.place != place else inside
    raise inside or _Unfit(place, kind, value)


def _is(value: object, kind: Any) -> bool:
    if kind is Any or kind is object:
        return True
    if kind is Literal:  # which text it may be is for the function to say
        return isinstance(value, str)
    if kind is float:
        return isinstance(value, float | int)
    if _is_protocol(kind):
        return all(hasattr(value, member) for member in vars(kind) if not member.startswith("_"))
    return isinstance(value, kind)


def _is_protocol(kind: Any) -> bool:
    return getattr(kind, "_is_protocol", False)


def _described(kind: Any) -> str:
    """``int, str or an iterable of int``."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        *first, last = dict.fromkeys(map(_described, parts))
        return f"{', '.join(first)} or {last}" if first else last
    if origin in _GENERIC:
        return _GENERIC[origin].format(*(_described(part) for part in parts if origin not in (Literal, Callable)))
    return "None" if kind is type(None) else str((origin or kind).__name__)
