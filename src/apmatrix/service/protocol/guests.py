"""Guests: VMs that have an mdev."""

from __future__ import annotations

import msgspec

from apmatrix.service.protocol.messages import MachineRequest
from apmatrix.service.protocol.names import SystemName


class GuestFacts(msgspec.Struct, frozen=True):
    """A guest: its name from the LPAR down, the UUID of its mdev, and whether it is running."""

    name: str
    uuid: str
    running: bool


class ListGuests(MachineRequest[tuple[GuestFacts, ...]], frozen=True):
    """The guests of the file, and VMs that were started by UUID."""


class StartGuest(MachineRequest[GuestFacts], frozen=True):
    """Start a guest by its name in the file, or a VM by the UUID of an mdev of ``system``."""

    name: str
    system: SystemName = None


class StopGuest(MachineRequest[GuestFacts], frozen=True):
    """Stop a guest by its name in the file, or the VM that has the mdev of that UUID."""

    name: str
    system: SystemName = None
