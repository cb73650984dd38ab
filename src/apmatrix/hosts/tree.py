"""The files of a Linux, wherever it is running.

A tree has absolute paths such as ``/sys/bus/ap/apmask``, contents as bytes, and errors as OSError with the errno that
a system call would give there. :meth:`Tree.ask` answers many questions in one call, which for a tree that is far away
is one round trip.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

Names = list[str]
Answer = bytes | Names | str | OSError
Answers = list[Answer]
Contents = list[bytes | None]
Listings = list[Names]


class QueryKind(Enum):
    """What is asked about a path."""

    READ = "read"  # the content of a file: bytes
    LIST = "list"  # the names in a directory: a sorted list
    LINK = "link"  # the target of a symbolic link: a string


class Query(NamedTuple):
    """One question to a tree."""

    kind: QueryKind
    path: str


class Tree(ABC):
    """The files of a Linux. All methods raise OSError as the kernel there does."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The content of a file."""

    @abstractmethod
    def write(self, path: str, data: bytes) -> None:
        """Write ``data`` to an existing file, in one write(2)."""

    @abstractmethod
    def list(self, path: str) -> Names:
        """The names in a directory, sorted."""

    @abstractmethod
    def readlink(self, path: str) -> str:
        """The target of a symbolic link, as it is stored."""

    def ask(self, queries: Iterable[Query]) -> Answers:
        """Answer several questions, each with its result or its OSError, in order."""
        return [self._answer(query) for query in queries]

    def _answer(self, query: Query) -> Answer:
        try:
            if query.kind is QueryKind.READ:
                return self.read(query.path)
            return self.list(query.path) if query.kind is QueryKind.LIST else self.readlink(query.path)
        except OSError as error:
            return error

    def read_all(self, paths: Iterable[str]) -> Contents:
        """The contents of several files; None for each that cannot be read."""
        answers = self.ask(Query(QueryKind.READ, path) for path in paths)
        return [answer if isinstance(answer, bytes) else None for answer in answers]

    def list_all(self, paths: Iterable[str]) -> Listings:
        """The names in several directories; no names for each that cannot be listed."""
        answers = self.ask(Query(QueryKind.LIST, path) for path in paths)
        return [answer if isinstance(answer, list) else [] for answer in answers]


class LocalTree(Tree):
    """The files of this computer, or a tree of the same layout below ``root``."""

    def __init__(self, root: str | os.PathLike[str] = "/") -> None:
        self._root = Path(root)

    def _at(self, path: str) -> Path:
        return self._root / path.lstrip("/")

    def read(self, path: str) -> bytes:
        """The content of a file."""
        return self._at(path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        """Write ``data`` in one write(2): attributes of sysfs take each write as a value of its own."""
        descriptor = os.open(self._at(path), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)

    def list(self, path: str) -> Names:
        """The names in a directory, sorted."""
        return sorted(os.listdir(self._at(path)))  # noqa: PTH208 - names, not paths

    def readlink(self, path: str) -> str:
        """The target of a symbolic link, as it is stored."""
        return os.readlink(self._at(path))  # noqa: PTH115 - as it is stored
