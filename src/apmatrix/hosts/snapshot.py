"""Recorded trees: what a Linux once answered, to be examined later and elsewhere."""

from __future__ import annotations

import errno
import os
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from apmatrix.hosts.tree import Names, Query, QueryKind, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from apmatrix.hosts.tree import Answer, Answers


_NUMBERS = {name: number for number, name in errno.errorcode.items()}

Entries = list[dict[str, Any]]


class Snapshot(Tree):
    """The kept answers of a tree. What was not asked does not exist (ENOENT); nothing can be written (EROFS)."""

    def __init__(self, answers: Mapping[Query, Answer]) -> None:
        self._answers = dict(answers)

    def _recorded(self, kind: QueryKind, path: str) -> Answer:
        missing = OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        answer = self._answers.get(Query(kind, path), missing)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def read(self, path: str) -> bytes:
        """The content that a file had."""
        answer = self._recorded(QueryKind.READ, path)
        assert isinstance(answer, bytes)
        return answer

    def write(self, path: str, data: bytes) -> None:
        """Raise OSError: a snapshot is read-only (EROFS)."""
        del data
        raise OSError(errno.EROFS, "this is a snapshot: nothing can be written to it", path)

    def list(self, path: str) -> Names:
        """The names that a directory had."""
        answer = self._recorded(QueryKind.LIST, path)
        assert isinstance(answer, list)
        return answer

    def readlink(self, path: str) -> str:
        """The target that a symbolic link had."""
        answer = self._recorded(QueryKind.LINK, path)
        assert isinstance(answer, str)
        return answer

    def as_json(self) -> Entries:
        """The same as plain data: an entry for each question, with the errno's name where the answer was an error."""
        return [{query.kind.value: query.path, **_written(answer)} for query, answer in self._answers.items()]

    @classmethod
    def from_json(cls, entries: Iterable[Mapping[str, Any]]) -> Snapshot:
        """The reverse of :meth:`as_json`; ValueError for what is not a snapshot."""
        answers = {}
        for entry in entries:
            try:
                kind = next(kind for kind in QueryKind if kind.value in entry)
                answers[Query(kind, str(entry[kind.value]))] = _read(kind, entry)
            except (KeyError, StopIteration, AttributeError, TypeError) as error:
                raise ValueError(f"not an entry of a snapshot: {str(entry)[:80]}") from error
        return cls(answers)


def _written(answer: Answer) -> dict[str, Any]:
    if isinstance(answer, OSError):
        return {"error": errno.errorcode.get(answer.errno or 0, str(answer.errno))}
    if not isinstance(answer, bytes):
        return {"is": answer}
    try:
        return {"is": answer.decode("ascii")}
    except UnicodeDecodeError:
        return {"base64": b64encode(answer).decode()}


def _read(kind: QueryKind, entry: Mapping[str, Any]) -> Answer:
    if "error" in entry:
        name = str(entry["error"])
        number = int(name) if name.isdecimal() else _NUMBERS[name]
        return OSError(number, os.strerror(number), entry[kind.value])
    if kind is not QueryKind.READ:
        return [str(name) for name in entry["is"]] if kind is QueryKind.LIST else str(entry["is"])
    return b64decode(entry["base64"], validate=True) if "base64" in entry else str(entry["is"]).encode("ascii")


class RecordingTree(Tree):
    """Passes everything on to another tree, and keeps its answers for a :class:`Snapshot`."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._answers: dict[Query, Answer] = {}

    @property
    def snapshot(self) -> Snapshot:
        """The questions so far, with their answers."""
        return Snapshot(self._answers)

    def ask(self, queries: Iterable[Query]) -> Answers:
        """Ask the other tree in one call."""
        asked = list(queries)
        answers = self._tree.ask(asked)
        self._answers.update(zip(asked, answers, strict=True))
        return answers

    def _one(self, kind: QueryKind, path: str) -> Answer:
        (answer,) = self.ask([Query(kind, path)])
        if isinstance(answer, OSError):
            raise answer
        return answer

    def read(self, path: str) -> bytes:
        """The content of a file."""
        answer = self._one(QueryKind.READ, path)
        assert isinstance(answer, bytes)
        return answer

    def write(self, path: str, data: bytes) -> None:
        """Write to the other tree, and forget what was recorded of that file before."""
        self._tree.write(path, data)
        self._answers.pop(Query(QueryKind.READ, path), None)

    def list(self, path: str) -> Names:
        """The names in a directory."""
        answer = self._one(QueryKind.LIST, path)
        assert isinstance(answer, list)
        return answer

    def readlink(self, path: str) -> str:
        """The target of a symbolic link."""
        answer = self._one(QueryKind.LINK, path)
        assert isinstance(answer, str)
        return answer
