"""The root device of the AP bus: ``/sys/devices/ap``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apmatrix.linux.core import AttributeGroup, KObject, Written

if TYPE_CHECKING:
    from apmatrix.linux.ap.bus import ApBus
    from apmatrix.linux.core.attributes import AnyGroup

ROOT: AttributeGroup[RootDevice] = AttributeGroup()


@ROOT.show("uevent")
def show_uevent(_root: RootDevice) -> str:
    """Empty: the device adds no variables of its own to its uevents."""
    return ""


@ROOT.store("uevent")
def synthesize_uevent(root: RootDevice, value: Written) -> None:
    """Send a synthetic uevent about the device."""
    root.request_uevent(value.raw)


class RootDevice(KObject):
    """Parent of all cards, source of the bus's events (BUS-80). It has no ``subsystem``, but its events name one."""

    __slots__ = ("_bus",)

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (ROOT,)

    def __init__(self, bus: ApBus) -> None:
        super().__init__(bus.sysfs, "devices", "ap")
        self._bus = bus

    def uevent(self, action: str, *variables: tuple[str, str]) -> None:
        """Send an event about the bus, with ``variables`` (BUS-80)."""
        self._bus.uevents.emit(action, f"/{self.path}", self._bus.name, variables)

    def request_uevent(self, written: bytes) -> None:
        """Send the event that a write to ``uevent`` asks for; raises BadValue."""
        bus = self._bus
        bus.uevents.request(written, f"/{self.path}", bus.name, device=f"{bus.name} {self.name}")
