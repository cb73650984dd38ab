"""``/sys/module``: which modules are loaded, and their parameters (BUS-2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apmatrix.linux.core import AttributeGroup, FixedDirectory, KObject

if TYPE_CHECKING:
    from apmatrix.linux.core.attributes import AnyGroup
    from apmatrix.linux.system import LinuxSystem

PARAMETERS: AttributeGroup[ApParameters] = AttributeGroup()


@PARAMETERS.show("domain")
def domain(parameters: ApParameters) -> str:
    """The default domain in force."""
    return f"{parameters.system.ap.default_domain}\n"


@PARAMETERS.show("apmask")
def apmask(parameters: ApParameters) -> str:
    """As given at boot."""
    return f"{'(null)' if parameters.apmask is None else parameters.apmask}\n"


@PARAMETERS.show("aqmask")
def aqmask(parameters: ApParameters) -> str:
    """As given at boot."""
    return f"{'(null)' if parameters.aqmask is None else parameters.aqmask}\n"


@PARAMETERS.show("poll_thread")
def poll_thread(_parameters: ApParameters) -> str:
    """Whether the poll thread was wanted at boot."""
    return "0\n"


@PARAMETERS.show("useirq")
def useirq(_parameters: ApParameters) -> str:
    """Whether interrupts were wanted at boot."""
    return "1\n"


@PARAMETERS.show("msgpool_min_items", mode=0o400)
def msgpool_min_items(_parameters: ApParameters) -> str:
    """Messages that the kernel keeps in reserve; nothing here runs out of them."""
    return "8\n"


class ApParameters(KObject):
    """``/sys/module/ap/parameters``."""

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (PARAMETERS,)

    def __init__(self, system: LinuxSystem, apmask: str | None, aqmask: str | None) -> None:
        super().__init__(system.sysfs, "module/ap", "parameters")
        self.system = system
        self.apmask = apmask
        self.aqmask = aqmask


class Modules:
    """The loaded modules."""

    def __init__(self, system: LinuxSystem, apmask: str | None, aqmask: str | None) -> None:
        self._sysfs = system.sysfs
        self._uevents = system.uevents
        self.add("ap", "zcrypt", "zcrypt_cex4")
        self._sysfs.place("module/ap", "parameters", ApParameters(system, apmask, aqmask))

    def add(self, *names: str) -> None:
        """Modules are loaded."""
        for name in names:
            self._sysfs.place("module", name, FixedDirectory())
            self._uevents.emit("add", f"/module/{name}", "module")

    def remove(self, *names: str) -> None:
        """Modules are unloaded."""
        for name in names:
            self._sysfs.drop("module", name)
            self._uevents.emit("remove", f"/module/{name}", "module")
