"""A command in a sandbox, seen from the machine: the faces that serve it until its connection ends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from apmatrix.faces.devices import DevicesFace
from apmatrix.faces.sysfs import SysfsFace
from apmatrix.faces.uevents import UeventRelay

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.emulation import System


class Session:
    """Serves one mounted /sys of ``system``, and its uevents. Owns the descriptors that it is given.

    ``settle`` waits until all sessions know what happened: a write is answered once every program can see its effect.
    """

    def __init__(self, system: System, fuse: int, uevents: int, settle: Callable[[], None]) -> None:
        self.system = system
        self.relay = UeventRelay(system.linux, uevents)
        self.face = SysfsFace(system.linux.sysfs, Path("/sys"), settle=settle)
        self.channels = [self.face.serve(fuse, f"sysfs of {system.name}")]

    def serve_devices(self, fuse: int, directory: int, target: str) -> None:
        """Serve the device nodes, mounted at ``target``, and keep links to them in ``directory``."""
        face = DevicesFace(self.system.linux, directory, target)
        self.channels.append(face.serve(fuse, f"devices of {self.system.name}"))

    @property
    def bindings(self) -> list[str]:
        """The parts of the real /sys that are to be bound."""
        return self.face.merged.bindings() if self.face.merged else []

    def flush(self) -> None:
        """Wait until programs in there see everything that happened."""
        self.face.flush()
        self.relay.flush()

    def close(self) -> None:
        """End with the command: no request may wait any longer."""
        for channel in self.channels:
            channel.abort()
        self.relay.close()
