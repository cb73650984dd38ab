"""Declared formats: registers, control blocks and message headers as classes.

A :class:`Layout` is an immutable bit string whose fields are declared once, with IBM bit numbers (bit 0 is
the most significant one), and which parses, builds, compares and prints itself::

    class QueueStatus(Layout, width=32):
        empty = flag(0)
        response_code = bits(8, 15, ResponseCode)

    QueueStatus(0x80000000).empty                      # True
    QueueStatus(response_code=ResponseCode.BUSY)       # QueueStatus(00050000: response_code=BUSY)

Blocks in storage count in bytes: :func:`octets` and :func:`text` take an offset and a length. A field whose content
never varies is a :func:`constant`: building fills it in, parsing checks it::

    class Ep11Cprb(Layout, size=32):
        length = constant(octets(0, 2), 32)
        version = constant(octets(2, 1), 4)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, SupportsIndex, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_NARROW = 16
"""Fields up to this width remember what they decoded: making enum members is slow."""


class Field(Generic[T]):
    """One field of a :class:`Layout`: bits ``first`` to ``last``, IBM numbering, both included.

    ``decode`` turns the field's number into its value. ``encode`` is the reverse.
    """

    def __init__(self, first: int, last: int, decode: Callable[[int], T], encode: Callable[[T], int]) -> None:
        self.first = first
        self.last = last
        self.decode = decode
        self.encode = encode
        self.limit = 1 << (last - first + 1)
        self.name = ""
        self.shift = 0
        self.mask = 0  # ones where the field is, in the layout's number
        self.constant: T | None = None
        self._decoded: dict[int, T] | None = {} if last - first < _NARROW else None

    def __set_name__(self, owner: type[Layout], name: str) -> None:
        self.name = name

    def place(self, width: int) -> None:
        """Fix the field's position in a layout of ``width`` bits; ValueError if it does not fit."""
        if not 0 <= self.first <= self.last < width:
            raise ValueError(f"field {self.name}: bits {self.first}-{self.last} outside 0-{width - 1}")
        self.shift = width - 1 - self.last
        self.mask = (self.limit - 1) << self.shift

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Layout, owner: type) -> T: ...
    def __get__(self, instance: Layout | None, owner: type) -> Self | T:
        if instance is None:
            return self
        number = (instance.value & self.mask) >> self.shift
        if self._decoded is None:
            return self.decode(number)
        try:
            return self._decoded[number]
        except KeyError:
            return self._decoded.setdefault(number, self.decode(number))

    def insert(self, value: int, content: T) -> int:
        """``value`` with this field replaced by ``content``; ValueError if it does not fit."""
        number = self.encode(content)
        if not 0 <= number < self.limit:
            raise ValueError(f"{self.name}={content!r} does not fit bits {self.first}-{self.last}")
        return value & ~self.mask | number << self.shift


def _index(value: SupportsIndex) -> int:
    return value.__index__()


@overload
def bits(first: int, last: int) -> Field[int]: ...
@overload
def bits(first: int, last: int, kind: Callable[[int], T]) -> Field[T]: ...
def bits(first: int, last: int, kind: Callable[[int], Any] = int) -> Field[Any]:
    """A field of bits ``first`` to ``last``; ``kind`` (an IntEnum, Mask …) gives it a type."""
    return Field(first, last, kind, _index)


def flag(bit: int) -> Field[bool]:
    """A field of the single bit ``bit``: a bool."""
    return Field(bit, bit, bool, int)


@overload
def octets(offset: int, length: int) -> Field[int]: ...
@overload
def octets(offset: int, length: int, kind: Callable[[int], T]) -> Field[T]: ...
def octets(offset: int, length: int, kind: Callable[[int], Any] = int) -> Field[Any]:
    """A big-endian number of ``length`` bytes at byte ``offset`` of a block."""
    return Field(offset * 8, (offset + length) * 8 - 1, kind, _index)


def text(offset: int, length: int) -> Field[bytes]:
    """``length`` raw bytes at byte ``offset``; shorter content is padded with zeros on the right."""

    def decode(number: int) -> bytes:
        return number.to_bytes(length, "big")

    def encode(content: bytes) -> int:
        if len(content) > length:
            raise ValueError(f"{content!r} is longer than {length} bytes")
        return int.from_bytes(content.ljust(length, b"\0"), "big")

    return Field(offset * 8, (offset + length) * 8 - 1, decode, encode)


def constant(field: Field[T], content: T) -> Field[T]:
    """``field`` with a fixed content, which :class:`Layout` fills in while building and checks while parsing."""
    field.constant = content
    return field


class Layout:
    """Base of declared formats; see the module's docstring.

    A subclass names its size, ``width`` in bits or ``size`` in bytes, and declares fields. Instances are
    values: hashable, equal when their type and bits are equal.
    """

    __slots__ = ("value",)

    WIDTH: ClassVar[int] = 0
    """Bits of the layout."""

    SIZE: ClassVar[int] = 0
    """Bytes of the layout."""

    FIELDS: ClassVar[dict[str, Field[Any]]] = {}
    CONSTANTS: ClassVar[dict[str, Field[Any]]] = {}
    _CONSTANT_BITS: ClassVar[int] = 0  # of a layout that has nothing but its constants
    _CONSTANT_MASK: ClassVar[int] = 0

    value: int

    def __init_subclass__(cls, width: int = 0, size: int = 0) -> None:
        super().__init_subclass__()
        cls.WIDTH = width or size * 8 or cls.WIDTH
        cls.SIZE = cls.WIDTH // 8
        own = {name: item for name, item in vars(cls).items() if isinstance(item, Field)}
        for item in own.values():
            item.place(cls.WIDTH)
        cls.FIELDS = {**cls.FIELDS, **own}
        cls.CONSTANTS = {name: item for name, item in cls.FIELDS.items() if item.constant is not None}
        for item in cls.CONSTANTS.values():
            cls._CONSTANT_BITS = item.insert(cls._CONSTANT_BITS, item.constant)
            cls._CONSTANT_MASK |= item.mask

    def __init__(self, value: SupportsIndex | None = None, /, **fields: Any) -> None:
        """From all bits as one number, as they are, or from ``fields``, with the constants filled in."""
        number = self._CONSTANT_BITS if value is None else value.__index__()
        if not 0 <= number < 1 << self.WIDTH:
            raise ValueError(f"{type(self).__name__}: {number:#x} does not fit {self.WIDTH} bits")
        for name, content in fields.items():
            number = self.FIELDS[name].insert(number, content)
        object.__setattr__(self, "value", number)

    def __setattr__(self, name: str, content: object) -> None:
        raise AttributeError(f"{type(self).__name__} is a value: use replace({name}=…)")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is a value")

    @classmethod
    def parse(cls, data: bytes | bytearray | memoryview) -> Self:
        """Read the layout from the start of ``data``; ValueError if that is too short or a constant differs."""
        layout = cls.overlay(data)
        if layout.value & cls._CONSTANT_MASK != cls._CONSTANT_BITS:
            raise ValueError(f"{cls.__name__}: {layout._wrong_constants()}")
        return layout

    def _wrong_constants(self) -> str:
        return ", ".join(
            f"{name} is {_show(getattr(self, name))} instead of {_show(item.constant)}"
            for name, item in self.CONSTANTS.items()
            if item.insert(self.value, item.constant) != self.value
        )

    @classmethod
    def overlay(cls, data: bytes | bytearray | memoryview) -> Self:
        """Lay the layout over the start of ``data`` without checking the constants, as C code casts a buffer.

        ValueError if ``data`` is too short.
        """
        if len(data) < cls.SIZE:
            raise ValueError(f"{cls.__name__} needs {cls.SIZE} bytes, got {len(data)}")
        layout = cls.__new__(cls)  # not cls(number): a number read from SIZE bytes always fits
        object.__setattr__(layout, "value", int.from_bytes(data[: cls.SIZE], "big"))
        return layout

    def __bytes__(self) -> bytes:
        return self.value.to_bytes(self.SIZE, "big")

    def replace(self, **fields: Any) -> Self:
        """A copy with the named fields changed; ValueError for content that does not fit."""
        return type(self)(self.value, **fields)

    def __index__(self) -> int:
        return self.value

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.value == self.value

    def __hash__(self) -> int:
        return hash((type(self), self.value))

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={_show(item.__get__(self, type(self)))}"
            for name, item in self.FIELDS.items()
            if self.value & item.mask
        )
        word = f"{self.value:0{self.WIDTH // 4}x}: " if self.WIDTH <= 64 else ""
        return f"{type(self).__name__}({word}{shown})"


def _show(content: object) -> str:
    name = getattr(content, "name", None)
    return str(name) if name else f"{content:#x}" if type(content) is int else str(content)
