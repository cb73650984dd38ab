"""What an administrator does at the HMC: activation profiles and adapters."""

from __future__ import annotations

from typing import Literal

import msgspec

from apmatrix.arch import Mask
from apmatrix.service.protocol.messages import MachineRequest

AdapterStateName = Literal["online", "deconfigured", "checkstopped"]


class ProfileFacts(msgspec.Struct, frozen=True):
    """The activation profile of an LPAR."""

    lpar: str
    adapters: Mask
    usage_domains: Mask
    control_domains: Mask


class SetProfile(MachineRequest[ProfileFacts], frozen=True):
    """Edit the running activation profile of an LPAR; what is None stays the same."""

    lpar: str
    adapters: Mask | None = None
    usage_domains: Mask | None = None
    control_domains: Mask | None = None


class AdapterFacts(msgspec.Struct, frozen=True):
    """An adapter and its state."""

    adapter: int
    state: AdapterStateName


class SetAdapterState(MachineRequest[AdapterFacts], frozen=True):
    """Configure an adapter on or off, or make it fail."""

    adapter: int
    state: AdapterStateName
