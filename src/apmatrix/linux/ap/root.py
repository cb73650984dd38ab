"""The root device of the AP bus: ``/sys/devices/ap``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apmatrix.linux.core import AttributeGroup, KObject, Link, Written
from apmatrix.linux.core.objects import uevent_action

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.linux.ap.bus import ApBus
    from apmatrix.linux.core.attributes import AnyGroup
    from apmatrix.linux.core.sysfs import Node

ROOT: AttributeGroup[RootDevice] = AttributeGroup()


@ROOT.show("uevent")
def show_uevent(_root: RootDevice) -> str:
    """The device adds nothing of its own to its events."""
    return ""


@ROOT.store("uevent")
def synthesize_uevent(root: RootDevice, value: Written) -> None:
    """Send an event on request."""
    root.uevent(uevent_action(value), ("SYNTH_UUID", "0"))


class RootDevice(KObject):
    """Parent of all cards; the bus speaks through it (BUS-80)."""

    __slots__ = ("_bus",)

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (ROOT,)

    def __init__(self, bus: ApBus) -> None:
        super().__init__(bus.sysfs, "devices", "ap")
        self._bus = bus

    def names(self) -> Iterator[str]:
        """Attributes, cards, and the bus."""
        yield from super().names()
        yield "subsystem"

    def lookup(self, name: str) -> Node | None:
        """The entry of that name."""
        return Link(self._bus.path) if name == "subsystem" else super().lookup(name)

    def uevent(self, action: str, *variables: tuple[str, str]) -> None:
        """Send an event."""
        self._bus.uevents.emit(action, f"/{self.path}", self._bus.name, variables)
