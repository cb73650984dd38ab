"""A level of the machine that a real operating system, in the client's process, executes AP instructions at."""

from __future__ import annotations

import msgspec

from apmatrix.service.protocol.messages import Address, MachineRequest, Unsigned


class TakenLevel(msgspec.Struct, frozen=True):
    """``facilities`` are the facility bits of AP that the level has."""

    facilities: list[Unsigned]


class TakeLevel(MachineRequest[TakenLevel], frozen=True):
    """Take the level of a guest, or of an LPAR (by default the first), until the connection ends."""

    lpar: str | None = None
    guest: str | None = None


class ShareStorage(MachineRequest[None], frozen=True):
    """Share the guest's storage of ``size`` bytes, whose descriptor comes with the request."""

    size: Unsigned


class Executed(msgspec.Struct, frozen=True):
    """The AP instructions executed so far, and the interruption code if the program is to be interrupted."""

    executed: int
    interruption: int | None


class ExecuteInstruction(MachineRequest[Executed], frozen=True):
    """Execute the instruction that interrupted the program: the address of its frame, and both address spaces."""

    frame: Address
    kernel_asce: Address
    user_asce: Address


class ResetLevel(MachineRequest[None], frozen=True):
    """Reset the level's queues."""
