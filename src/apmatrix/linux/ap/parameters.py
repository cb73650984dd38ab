"""The parameters of the ap module: ``/sys/module/ap/parameters`` (BUS-2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apmatrix.linux.core import AttributeGroup, KObject

if TYPE_CHECKING:
    from apmatrix.linux.ap.bus import ApBus
    from apmatrix.linux.core.attributes import AnyGroup

PARAMETERS: AttributeGroup[ApParameters] = AttributeGroup()


@PARAMETERS.show("domain")
def domain(parameters: ApParameters) -> str:
    """The default domain in force."""
    return f"{parameters.bus.default_domain}\n"


@PARAMETERS.show("apmask")
def apmask(parameters: ApParameters) -> str:
    """The ``apmask`` given at boot."""
    return f"{'(null)' if parameters.apmask is None else parameters.apmask}\n"


@PARAMETERS.show("aqmask")
def aqmask(parameters: ApParameters) -> str:
    """The ``aqmask`` given at boot."""
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
    """The number of messages that the kernel keeps in reserve; here it has no effect."""
    return "8\n"


class ApParameters(KObject):
    """The directory with the parameters that the module of ``bus`` was loaded with."""

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (PARAMETERS,)

    def __init__(self, bus: ApBus, apmask: str | None, aqmask: str | None) -> None:
        super().__init__(bus.sysfs, "module/ap", "parameters")
        self.bus = bus
        self.apmask = apmask
        self.aqmask = aqmask
        bus.sysfs.place("module/ap", "parameters", self)
