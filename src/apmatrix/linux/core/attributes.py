"""Declared attributes: the files of sysfs.

A group holds the attributes of a kind of object; show and store functions are added with decorators, and the file's
mode follows from them (0444, 0200 or 0644) unless one is given::

    CARD: AttributeGroup[ApCard] = AttributeGroup()

    @CARD.show()
    def depth(card: ApCard) -> str:
        return f"{card.depth}\\n"

    @CARD.store("request_count")
    def clear_counters(card: ApCard, value: Written) -> None: ...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apmatrix.linux.core.sync import Task

T = TypeVar("T")

PAGE_SIZE = 4096
"""Bytes: the size that sysfs reports for every attribute, and the most that one write takes."""


@dataclass(frozen=True, slots=True)
class Written:
    """The data of one write(2). ``text`` ends at the first NUL, as the kernel's string functions see it."""

    raw: bytes
    task: Task

    @property
    def text(self) -> str:
        """The written text."""
        return self.raw.partition(b"\0")[0].decode("latin-1")

    @property
    def name(self) -> str:
        """The text without a trailing newline: how a device is named (BUS-45)."""
        return self.text.removesuffix("\n")

    @property
    def line(self) -> str:
        """The text up to the first newline."""
        return self.text.partition("\n")[0]


class Attribute(Generic[T]):
    """One attribute: a name, how it is read, how it is written."""

    __slots__ = ("declared_mode", "name", "show", "store", "visible")

    def __init__(self, name: str) -> None:
        self.name = name
        self.show: Callable[[T, Task], str] | None = None
        self.store: Callable[[T, Written], None] | None = None
        self.visible: Callable[[T], bool] | None = None
        self.declared_mode: int | None = None

    @property
    def mode(self) -> int:
        """Permission bits: those declared, else 0444, 0200 or 0644."""
        if self.declared_mode is not None:
            return self.declared_mode
        return (0o444 if self.show else 0) | (0o200 if self.store else 0)


class AttributeGroup(Generic[T]):
    """Attributes that come and go together."""

    def __init__(self) -> None:
        self._attributes: dict[str, Attribute[T]] = {}

    def _attribute(self, name: str) -> Attribute[T]:
        return self._attributes.setdefault(name, Attribute(name))

    def show(
        self, name: str | None = None, when: Callable[[T], bool] | None = None, mode: int | None = None
    ) -> Callable[[Callable[[T], str]], Callable[[T], str]]:
        """Declare how an attribute is read; ``when`` selects the objects with it, ``mode`` is its mode if unusual."""

        def declare(function: Callable[[T], str]) -> Callable[[T], str]:
            self._declare_show(name or function.__name__, lambda owner, _: function(owner), when, mode)
            return function

        return declare

    def show_to(
        self, name: str | None = None, when: Callable[[T], bool] | None = None
    ) -> Callable[[Callable[[T, Task], str]], Callable[[T, Task], str]]:
        """Like :meth:`show`, where the reader may have to wait: the function gets the reading process too."""

        def declare(function: Callable[[T, Task], str]) -> Callable[[T, Task], str]:
            self._declare_show(name or function.__name__, function, when)
            return function

        return declare

    def _declare_show(
        self,
        name: str,
        function: Callable[[T, Task], str],
        when: Callable[[T], bool] | None,
        mode: int | None = None,
    ) -> None:
        attribute = self._attribute(name)
        attribute.show = function
        attribute.visible = when
        attribute.declared_mode = mode

    def store(
        self, name: str | None = None, mode: int | None = None
    ) -> Callable[[Callable[[T, Written], None]], Callable[[T, Written], None]]:
        """Declare how an attribute is written; ``mode`` is its mode if unusual."""

        def declare(function: Callable[[T, Written], None]) -> Callable[[T, Written], None]:
            attribute = self._attribute(name or function.__name__)
            attribute.store = function
            attribute.declared_mode = mode or attribute.declared_mode
            return function

        return declare

    def find(self, name: str, owner: T) -> Attribute[T] | None:
        """The attribute of that name, if ``owner`` has it."""
        attribute = self._attributes.get(name)
        if attribute is None or (attribute.visible and not attribute.visible(owner)):
            return None
        return attribute

    def names(self, owner: T) -> Iterator[str]:
        """The attributes that ``owner`` has."""
        return (name for name in self._attributes if self.find(name, owner))


AnyGroup = AttributeGroup[Any]
