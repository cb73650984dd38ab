"""Devices with a node in /dev."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from apmatrix.linux.core.attributes import AttributeGroup, Written
from apmatrix.linux.core.objects import KObject
from apmatrix.linux.core.sysfs import Link

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apmatrix.linux.core.attributes import AnyGroup
    from apmatrix.linux.core.host import Host
    from apmatrix.linux.core.sysfs import Node

DEVICE_NODE: AttributeGroup[DeviceNode] = AttributeGroup()


@DEVICE_NODE.show("dev")
def show_device_number(node: DeviceNode) -> str:
    """Major and minor number."""
    return f"{node.major}:{node.minor}\n"


@DEVICE_NODE.show("uevent")
def show_uevent(node: DeviceNode) -> str:
    """The variables that udev reads."""
    return "".join(f"{key}={value}\n" for key, value in node.env())


@DEVICE_NODE.store("uevent")
def synthesize_uevent(node: DeviceNode, value: Written) -> None:
    """Send a synthetic uevent, as ``udevadm trigger`` requests it."""
    node.request_uevent(value.raw)


class DeviceNode(KObject):
    """A device with a node in /dev, called ``device_name`` there.

    ``opens`` counts its open files, ``mode`` are the node's permission bits.
    """

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (DEVICE_NODE,)

    def __init__(self, host: Host, kind: str, name: str, number: tuple[int, int], mode: int) -> None:
        super().__init__(host.sysfs, f"devices/virtual/{kind}", name)
        self.kind = kind
        self.major, self.minor = number
        self.mode = mode
        self.device_name = name
        self.opens = 0
        self._uevents = host.uevents

    def names(self) -> Iterator[str]:
        """The names of the attributes and of the class's link."""
        yield from super().names()
        yield "subsystem"

    def lookup(self, name: str) -> Node | None:
        """The entry of that name."""
        return Link(f"class/{self.kind}") if name == "subsystem" else super().lookup(name)

    def env(self) -> Iterator[tuple[str, str]]:
        """The variables of its uevents; ``!`` in a name is the ``/`` of a path below /dev."""
        yield from (("MAJOR", str(self.major)), ("MINOR", str(self.minor)))
        yield "DEVNAME", self.device_name.replace("!", "/")

    def uevent(self, action: str) -> None:
        """Send an event about the device."""
        self._uevents.emit(action, f"/{self.path}", self.kind, self.env())

    def request_uevent(self, written: bytes) -> None:
        """Send the event that a write to ``uevent`` asks for; raises BadValue."""
        self._uevents.request(written, f"/{self.path}", self.kind, self.env(), device=f"{self.kind} {self.name}")
