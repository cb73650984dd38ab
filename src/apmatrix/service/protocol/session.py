"""A command in a sandbox: from the mounts that the machine serves to the end."""

from __future__ import annotations

import msgspec

from apmatrix.service.protocol.messages import MachineRequest
from apmatrix.service.protocol.names import SystemName


class Attached(msgspec.Struct, frozen=True):
    """``bindings`` below /sys come from the real one; ``state`` is the directory with the system's /etc and locks."""

    bindings: tuple[str, ...]
    state: str | None


class Attach(MachineRequest[Attached], frozen=True):
    """Serve a sandbox to a system, by default the first LPAR's; its descriptors come with the request."""

    system: SystemName = None


class Detach(MachineRequest[None], frozen=True):
    """The command has ended: no request from the sandbox may wait any longer."""


class ReplayUevents(MachineRequest[int | None], frozen=True):
    """Send the next uevents for existing devices, from ``start`` on; the next start, None at the end."""

    start: int


class EtcMount(msgspec.Struct, frozen=True):
    """Whether the descriptor of a mount of /etc comes along, and a name for an unused work directory."""

    comes: bool
    work: str


class TakeEtc(MachineRequest[EtcMount], frozen=True):
    """Take the mount of /etc that the system's commands share."""


class GiveEtc(MachineRequest[None], frozen=True):
    """Give the mount back; ``comes`` says whether its descriptor comes with the request."""

    comes: bool
