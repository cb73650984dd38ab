"""``/sys/module``: the loaded modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.linux.core import FixedDirectory

if TYPE_CHECKING:
    from apmatrix.linux.core import Host


class Modules:
    """The loaded modules: ap, zcrypt and zcrypt_cex4 from the start."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.add("ap", "zcrypt", "zcrypt_cex4")

    def add(self, *names: str) -> None:
        """Load modules: each gets a directory and an event."""
        for name in names:
            self._host.sysfs.place("module", name, FixedDirectory())
            self._host.uevents.emit("add", f"/module/{name}", "module")

    def remove(self, *names: str) -> None:
        """Unload modules: remove their directories, with an event for each."""
        for name in names:
            self._host.sysfs.drop("module", name)
            self._host.uevents.emit("remove", f"/module/{name}", "module")
