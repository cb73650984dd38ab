"""Storage as the AP instructions see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from apmatrix.arch import Interruption, ProgramCheck
from apmatrix.arch.arguments import checked

if TYPE_CHECKING:
    from collections.abc import Callable


class Memory(Protocol):
    """The storage of the program that executes an AP instruction.

    NQAP, DQAP and QCI take *logical* addresses, AQIC an *absolute* one (hardware.md 1.8).
    """

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes at logical ``address``; raises ProgramCheck where translation or access fails."""
        ...

    def write(self, address: int, data: bytes) -> None:
        """Store at logical ``address``; raises ProgramCheck and stores nothing where access fails."""
        ...

    def check_store(self, address: int, length: int) -> None:
        """Raise the ProgramCheck that a store at logical ``address`` would, without storing."""
        ...

    def indicator(self, address: int) -> Callable[[], None] | None:
        """A function that sets the notification byte at absolute ``address``; None outside storage."""
        ...


class FlatMemory:
    """Storage from 0 to ``size``, without translation: logical and absolute addresses are the same."""

    @checked
    def __init__(self, size: int) -> None:
        if size < 0:
            raise ValueError(f"FlatMemory() argument size is {size}: storage cannot have less than 0 bytes")
        self.content = bytearray(size)

    def check_store(self, address: int, length: int) -> None:
        """ProgramCheck (addressing) if the bytes are outside of the storage."""
        if not 0 <= address <= len(self.content) - length:
            raise ProgramCheck(Interruption.ADDRESSING, f"{length} bytes at {address:#x} are outside of the storage")

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes at ``address``; ProgramCheck (addressing) outside of the storage."""
        self.check_store(address, length)
        return bytes(self.content[address : address + length])

    def write(self, address: int, data: bytes) -> None:
        """Store ``data`` at ``address``; ProgramCheck (addressing) outside of the storage."""
        self.check_store(address, len(data))
        self.content[address : address + len(data)] = data

    def indicator(self, address: int) -> Callable[[], None] | None:
        """A function that stores 01 at ``address``; None outside of the storage."""
        if not 0 <= address < len(self.content):
            return None

        def post() -> None:
            self.content[address] = 1

        return post
