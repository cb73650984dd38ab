"""A command in a sandbox: from the mounts that the machine serves to the end."""

from __future__ import annotations

import msgspec

from apmatrix.service.protocol.messages import MachineRequest


class Attached(msgspec.Struct, frozen=True):
    """``bindings`` below /sys come from the real one; ``state`` is the directory with the system's /etc and locks."""

    bindings: tuple[str, ...]
    state: str | None


class Attach(MachineRequest[Attached], frozen=True):
    """Serve a sandbox to a system, by default the first LPAR's; its descriptors come along."""

    system: str | None = None


class Detach(MachineRequest[None], frozen=True):
    """The command has ended: nothing in the sandbox may wait any longer."""


class ReplayUevents(MachineRequest[int | None], frozen=True):
    """Send the next uevents of what is there already, from ``start`` on; the next start, None at the end."""

    start: int


class EtcMount(msgspec.Struct, frozen=True):
    """Whether the descriptor of a mount of /etc comes along, and a name for a directory that no mount works in."""

    comes: bool
    work: str


class TakeEtc(MachineRequest[EtcMount], frozen=True):
    """Take the mount of /etc that the system's commands share."""


class GiveEtc(MachineRequest[None], frozen=True):
    """Give the mount back; whether its descriptor comes along."""

    comes: bool
