"""The form of all messages: one JSON object in a line.

A request names its operation in ``op``; ``answer`` says whether an answer is the ``result`` or the ``problem``. A
machine checks requests against the types, and answers what does not fit with one sentence.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Final, Generic, TypeVar, Union, get_args, get_origin

import msgspec

from apmatrix.arch import Mask
from apmatrix.arch.words import dashed
from apmatrix.rules.findings import Finding
from apmatrix.service.errors import ControlError, ExitCode

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Unsigned = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
"""A number of something that is counted from 0, such as bytes."""

Address = Annotated[int, msgspec.Meta(ge=0)]
"""A doubleword: an address, or what designates an address space."""


LONGEST_REQUEST: Final = 1 << 20
"""The most bytes that a machine reads of a request."""

_PLACE: Final = re.compile(r" - at `\$\.?(.*)`$")


class MachineRequest(
    msgspec.Struct, Generic[T_co], frozen=True, forbid_unknown_fields=True, tag_field="op", tag=dashed
):
    """A request whose answer is of type ``T_co``; ``op`` is the name of its class, such as ``start-guest``."""


class Success(msgspec.Struct, Generic[T], frozen=True, tag_field="answer", tag="result"):
    """The answer to a request that was carried out."""

    result: T


class Problem(msgspec.Struct, frozen=True, tag_field="answer", tag="problem"):
    """The answer to any other request: a sentence, the exit code that fits, and the parts of what was refused."""

    sentence: str
    code: ExitCode
    findings: tuple[Finding, ...] = ()


class _Envelope(msgspec.Struct):
    """As much of a request as an error message needs."""

    op: str


def encode(message: object) -> bytes:
    """A message as JSON, in one line."""
    return _ENCODER.encode(message)


def decode_request(line: bytes, known: tuple[type[MachineRequest[Any]], ...]) -> MachineRequest[Any]:
    """One of the requests in ``known``; ControlError says what is wrong with anything else."""
    try:
        request: MachineRequest[Any] = _decoder(known).decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ControlError(_sentence(line, str(error)), ExitCode.UNREADABLE) from error
    return request


def decode_answer(line: bytes, request: type[MachineRequest[T]]) -> T:
    """The result in the answer to a request; ControlError if it is a problem, or if the answer makes no sense."""
    result: T = decode_result(line, answer_type(request))
    return result


def decode_result(line: bytes, kind: Any) -> Any:
    """The result, of type ``kind``, in an answer; errors as for :func:`decode_answer`."""
    answer = _decode(line, (Success[kind], Problem))
    if isinstance(answer, Problem):
        raise ControlError(answer.sentence, answer.code, answer.findings)
    return answer.result


def decode_plain(line: bytes, kind: type[T]) -> T:
    """A message that is not an answer; ControlError if it makes no sense."""
    message: T = _decode(line, (kind,))
    return message


def answer_type(request: type[MachineRequest[T]]) -> Any:
    """The type of a request's answer: the parameter that its class, or a base, gives to MachineRequest."""
    for kind in request.__mro__:
        for base in kind.__dict__.get("__orig_bases__", ()):
            if get_origin(base) is not Generic and not isinstance(get_args(base)[0], TypeVar):
                return get_args(base)[0]
    raise TypeError(f"{request.__name__} does not say what its answer is")


def operation(request: type[MachineRequest[Any]]) -> str:
    """The ``op`` of a request."""
    return str(request.__struct_config__.tag)


def _decode(line: bytes, known: tuple[Any, ...]) -> Any:
    try:
        return _decoder(known).decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ControlError(f"the machine sent what this program does not understand: {error}") from error


@cache
def _decoder(known: tuple[Any, ...]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(Union[known], dec_hook=_from_json)  # noqa: UP007 - the types are found at run time


def _sentence(line: bytes, problem: str) -> str:
    """``request start-guest: name: expected str, got int``."""
    try:
        name = f"request {msgspec.json.decode(line, type=_Envelope).op[:40]}"
    except (msgspec.DecodeError, RecursionError):
        return f"a request is a JSON object with an operation in op: {_plain(problem)}"
    if _PLACE.search(problem) and _PLACE.search(problem)[1] == "op":  # type: ignore[index]
        return f"the machine does not know the {name}"
    return f"{name}: {_plain(problem)}"


def _plain(problem: str) -> str:
    """msgspec's words, reordered: the place first."""
    place = _PLACE.search(problem)
    text = _PLACE.sub("", problem).replace("`", "")
    text = text if text[1:2].isupper() else text[:1].lower() + text[1:]
    return f"{place[1]}: {text}" if place and place[1] else text


def _to_json(value: object) -> object:
    if isinstance(value, Mask):
        return value.ranges()
    raise TypeError(f"{type(value).__name__} is not a type of the protocol")


def _from_json(kind: type, value: object) -> object:
    if kind is Mask and isinstance(value, str):
        return Mask.parse_ids(value)
    raise ValueError(f"{value!r:.40} is not a list of numbers such as 5,6")


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_to_json)
