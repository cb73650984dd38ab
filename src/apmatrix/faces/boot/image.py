"""What is in a kernel's file: Linux, or a stand-alone program, which needs no operating system, such as a test.

Like QEMU, we take an ELF program for its segments, and a flat image for the storage from address 0 on.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from apmatrix.faces.boot.errors import KernelError, PackageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ELF = b"\x7fELF"
_ELF_64_BIG = _ELF + b"\x02\x02"  # 64 bits, big-endian
_ELF_HEADER = struct.Struct(">16sHHIQQQIHHH")
_SEGMENT = struct.Struct(">IIQQQQ")  # kind, flags, offset in the file, logical and absolute address, length there
_S390, _LOADED = 22, 1
_PSW_SIZE = 8
_SHORT_PSW = b"\x00\x08\x00\x00"
"""How a flat image begins: with the initial-program-loading PSW, whose address is in 31-bit mode."""

_LINUX_NAME, _LINUX_NAME_AT = b"S390EP", 0x10008
"""What QEMU and other loaders know Linux by."""


@dataclass(frozen=True, slots=True)
class StandAloneImage:
    """A stand-alone program: pieces of storage, each with its absolute address."""

    pieces: tuple[tuple[int, bytes], ...]

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """The program in ``file``; None if it is Linux, or something else.

        PackageError if it cannot be read; KernelError if it cannot be a kernel: too short for the PSW that it would
        begin with, or an ELF file that is damaged or for another architecture.
        """
        try:
            content = file.read_bytes()
        except OSError as error:
            raise PackageError(f"{file} cannot be read ({error.strerror})") from error
        if len(content) < _PSW_SIZE:
            raise KernelError(f"{file} is no kernel: it has {len(content)} bytes only")
        if content.startswith(_ELF):
            made = cls(tuple(_segments(file, content)))
        elif content.startswith(_SHORT_PSW) and content[4] & 0x80:
            made = cls(((0, content),))
        else:
            return None
        return None if not made.pieces or made.is_linux else made

    @property
    def is_linux(self) -> bool:
        """Whether Linux's name is where Linux has it."""
        return any(
            piece[_LINUX_NAME_AT - address :].startswith(_LINUX_NAME)
            for address, piece in self.pieces
            if address <= _LINUX_NAME_AT
        )

    def places(self, code: bytes) -> Iterator[int]:
        """Where the code of an instruction is. It may be data: nobody can tell before it is executed."""
        for address, piece in self.pieces:
            found = piece.find(code)
            while found >= 0:
                if (address + found) % 2 == 0:
                    yield address + found
                found = piece.find(code, found + 1)


def _segments(file: Path, content: bytes) -> Iterator[tuple[int, bytes]]:
    """The pieces that an ELF program for s390x has in storage; KernelError if the file is not one, or not whole."""
    try:
        *_, machine, _, _, table, _, _, _, size, count = _ELF_HEADER.unpack_from(content)
        if machine != _S390 or not content.startswith(_ELF_64_BIG):
            raise KernelError(f"{file} is no kernel for s390x: it is an ELF file for another architecture")
        headers = [_SEGMENT.unpack_from(content, table + number * size) for number in range(count)]
    except (struct.error, OverflowError):
        raise _damaged(file) from None
    for kind, _, offset, _, absolute, length in headers:
        if kind == _LOADED:
            if offset + length > len(content):
                raise _damaged(file)
            yield absolute, content[offset : offset + length]


def _damaged(file: Path) -> KernelError:
    return KernelError(f"{file} is an ELF file that ends too early: get it again")
