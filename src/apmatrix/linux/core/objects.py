"""The driver core: objects with attributes, devices, drivers, buses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from apmatrix.linux.core.attributes import AnyGroup, AttributeGroup, Written
from apmatrix.linux.core.sysfs import ChangeKind, Directory, File, Link, Node, Sysfs
from apmatrix.rules.findings import Holder
from apmatrix.rules.refusals import InUse, NoDevice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from apmatrix.linux.core.uevents import UeventStream

D = TypeVar("D", bound="Device")


class KObject(Directory):
    """A directory with attributes: the base of devices, drivers, buses and everything else that has files.

    ``GROUPS`` declares the attributes of a class; ``groups`` may add to them.
    """

    __slots__ = ("alive", "children", "name", "parent_path", "sysfs")

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = ()

    def __init__(self, sysfs: Sysfs, parent_path: str, name: str) -> None:
        self.sysfs = sysfs
        self.parent_path = parent_path
        self.name = name
        self.alive = True
        self.children: dict[str, Node] | None = None

    @property
    def path(self) -> str:
        """The object's path below /sys."""
        return f"{self.parent_path}/{self.name}" if self.parent_path else self.name

    def groups(self) -> Iterable[AnyGroup]:
        """The attribute groups that the object has now."""
        return self.GROUPS

    def names(self) -> Iterator[str]:
        """The names of the attributes and children."""
        for group in self.groups():
            yield from group.names(self)
        if self.children:
            yield from self.children

    def lookup(self, name: str) -> Node | None:
        """The attribute or child of that name."""
        for group in self.groups():
            if attribute := group.find(name, self):
                return File(self, attribute)
        return self.children.get(name) if self.children else None

    def add_child(self, name: str, node: Node) -> None:
        """Add an entry to the directory."""
        if self.children is None:
            self.children = {}
        self.children[name] = node
        self.entry_changed(ChangeKind.ADDED, name)

    def remove_child(self, name: str) -> None:
        """Remove an entry, if it exists."""
        if self.children and self.children.pop(name, None) is not None:
            self.entry_changed(ChangeKind.REMOVED, name)

    def entry_changed(self, kind: ChangeKind, name: str) -> None:
        """Notify the tree's subscribers of a change to an entry of this directory."""
        if self.sysfs.watched:
            self.sysfs.changed(kind, self.path, name)


DEVICE: AttributeGroup[Device] = AttributeGroup()


@DEVICE.show("uevent")
def show_uevent(device: Device) -> str:
    """The variables of the device's uevents, one per line."""
    return "".join(f"{key}={value}\n" for key, value in device.uevent_env())


@DEVICE.store("uevent")
def synthesize_uevent(device: Device, value: Written) -> None:
    """Send a synthetic uevent about the device."""
    name = f"{(device.driver or device.bus).name} {device.name}"
    device.bus.uevents.request(value.raw, f"/{device.path}", device.bus.name, device.uevent_env(), device=name)


class Device(KObject):
    """A device on a bus. ``KIND`` is its DEVTYPE."""

    __slots__ = ("bus", "driver", "override")

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (DEVICE,)
    KIND: ClassVar[str] = ""

    def __init__(self, bus: Bus, parent_path: str, name: str) -> None:
        super().__init__(bus.sysfs, parent_path, name)
        self.bus = bus
        self.driver: Driver[Any] | None = None
        self.override: str | None = None

    def groups(self) -> Iterable[AnyGroup]:
        """The class's attributes and, while a driver is bound, the driver's."""
        return (*self.GROUPS, *self.driver.DEVICE_GROUPS) if self.driver else self.GROUPS

    def names(self) -> Iterator[str]:
        """The names of the attributes, children and links."""
        yield from super().names()
        yield "subsystem"
        if self.driver:
            yield "driver"

    def lookup(self, name: str) -> Node | None:
        """The entry of that name."""
        if name == "driver":
            return Link(self.driver.path) if self.driver else None
        if name == "subsystem":
            return Link(self.bus.path)
        return super().lookup(name)

    def own_env(self) -> Iterable[tuple[str, str]]:
        """The variables that the device's class adds to its uevents."""
        return ()

    def uevent_env(self) -> Iterator[tuple[str, str]]:
        """The variables of the device's uevents."""
        if self.KIND:
            yield "DEVTYPE", self.KIND
        if self.driver:
            yield "DRIVER", self.driver.name
        yield from self.own_env()

    def uevent(self, action: str, extra: Iterable[tuple[str, str]] = ()) -> None:
        """Send an event about this device; ``extra`` says what happened."""
        self.bus.uevents.emit(action, f"/{self.path}", self.bus.name, (*extra, *self.uevent_env()))


BINDING: AttributeGroup[Driver[Any]] = AttributeGroup()


@BINDING.store("bind")
def bind(driver: Driver[Any], value: Written) -> None:
    """Bind a device by its name (BUS-45)."""
    driver.bus.bind_by_hand(driver, value.name)


@BINDING.store("unbind")
def unbind(driver: Driver[Any], value: Written) -> None:
    """Unbind a device by its name (BUS-45)."""
    driver.bus.unbind_by_hand(driver, value.name)


DRIVER: AttributeGroup[Driver[Any]] = AttributeGroup()


@DRIVER.store("uevent")
def synthesize_driver_uevent(driver: Driver[Any], value: Written) -> None:
    """Send a synthetic uevent about the driver."""
    driver.bus.uevents.request(value.raw, f"/{driver.path}", "drivers")


class Driver(KObject, Generic[D]):
    """A driver of a bus. ``DEVICE_GROUPS`` are the attributes that its devices have while bound."""

    __slots__ = ("bus", "devices")

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (DRIVER, BINDING)
    DEVICE_GROUPS: ClassVar[tuple[AnyGroup, ...]] = ()
    MODULE: ClassVar[str] = ""

    def __init__(self, bus: Bus, name: str) -> None:
        super().__init__(bus.sysfs, f"{bus.path}/drivers", name)
        self.bus = bus
        self.devices: dict[str, D] = {}

    def names(self) -> Iterator[str]:
        """The names of the attributes and of the links, one for each device."""
        yield from super().names()
        yield from self.devices
        if self.MODULE:
            yield "module"

    def lookup(self, name: str) -> Node | None:
        """The entry of that name."""
        if name in self.devices:
            return Link(self.devices[name].path)
        if name == "module" and self.MODULE:
            return Link(f"module/{self.MODULE}")
        return super().lookup(name)

    def matches(self, device: Device) -> bool:  # noqa: ARG002 - the base takes all
        """True if the driver supports the device."""
        return True

    def probe(self, device: D) -> None:
        """Take the device; raises NoDevice to decline it."""

    def remove(self, device: D) -> None:
        """Give the device up."""


class DeviceLinks(Directory):
    """The directory ``devices`` of a bus: a link to each of its devices."""

    __slots__ = ("_bus",)

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def names(self) -> Iterable[str]:
        """The names of the devices."""
        return tuple(self._bus.devices)

    def lookup(self, name: str) -> Node | None:
        """The link of that name."""
        device = self._bus.devices.get(name)
        return Link(device.path) if device else None


class DriverDirectory(Directory):
    """The directory ``drivers`` of a bus."""

    __slots__ = ("_bus",)

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def names(self) -> Iterable[str]:
        """The names of the drivers."""
        return tuple(self._bus.drivers)

    def lookup(self, name: str) -> Node | None:
        """The driver of that name."""
        return self._bus.drivers.get(name)


BUS: AttributeGroup[Bus] = AttributeGroup()


@BUS.show("drivers_autoprobe")
def show_autoprobe(bus: Bus) -> str:
    """1 if new devices are offered to the drivers."""
    return f"{bus.autoprobe:d}\n"


@BUS.store("drivers_autoprobe")
def store_autoprobe(bus: Bus, value: Written) -> None:
    """Switch it off with 0, on with anything else."""
    bus.autoprobe = value.text[:1] != "0"


@BUS.store("drivers_probe")
def drivers_probe(bus: Bus, value: Written) -> None:
    """Offer an unbound device to all drivers; succeeds even if none takes it (BUS-45)."""
    device = bus.devices.get(value.name)
    if device is None:
        raise NoDevice(f"there is no device {value.name!r} on bus {bus.name}")
    if device.driver is None:
        bus.attach(device)


@BUS.store("uevent")
def synthesize_bus_uevent(bus: Bus, value: Written) -> None:
    """Send a synthetic uevent about the bus."""
    bus.uevents.request(value.raw, f"/{bus.path}", "bus")


class Bus(KObject):
    """A bus: its devices, its drivers, and the bindings between them."""

    __slots__ = ("autoprobe", "devices", "drivers", "uevents")

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (BUS,)

    def __init__(self, sysfs: Sysfs, uevents: UeventStream, name: str) -> None:
        super().__init__(sysfs, "bus", name)
        self.uevents = uevents
        self.devices: dict[str, Device] = {}
        self.drivers: dict[str, Driver[Any]] = {}
        self.autoprobe = True
        self.children = {"devices": DeviceLinks(self), "drivers": DriverDirectory(self)}
        sysfs.place("bus", name, self)

    # devices

    def add_device(self, device: Device, parent: KObject | None = None) -> None:
        """Add a device: directory, links, uevent; then offer it to the drivers.

        Without a parent it goes into a plain directory.
        """
        if parent:
            parent.add_child(device.name, device)
        else:
            self.sysfs.place(device.parent_path, device.name, device)
        self.devices[device.name] = device
        self._entry_changed(ChangeKind.ADDED, f"{self.path}/devices", device.name)
        device.uevent("add")
        if self.autoprobe:
            self.attach(device)

    def remove_device(self, device: Device, parent: KObject | None = None) -> None:
        """Remove a device: driver, links, directory, uevent."""
        self.release(device)
        del self.devices[device.name]
        device.alive = False
        self._entry_changed(ChangeKind.REMOVED, f"{self.path}/devices", device.name)
        device.uevent("remove")
        if parent:
            parent.remove_child(device.name)
        else:
            self.sysfs.drop(device.parent_path, device.name)

    def _entry_changed(self, kind: ChangeKind, directory: str, name: str) -> None:
        if self.sysfs.watched:
            self.sysfs.changed(kind, directory, name)

    # drivers

    def add_driver(self, driver: Driver[Any]) -> None:
        """Register a driver and offer it every unbound device."""
        self.drivers[driver.name] = driver
        self._entry_changed(ChangeKind.ADDED, f"{self.path}/drivers", driver.name)
        self.uevents.emit("add", f"/{driver.path}", "drivers")
        if self.autoprobe:
            for device in tuple(self.devices.values()):
                if device.driver is None and driver.matches(device):
                    self.try_driver(driver, device)

    def remove_driver(self, driver: Driver[Any]) -> None:
        """Unbind a driver's devices and unregister it."""
        for device in tuple(driver.devices.values()):
            self.release(device)
        del self.drivers[driver.name]
        driver.alive = False
        self._entry_changed(ChangeKind.REMOVED, f"{self.path}/drivers", driver.name)
        self.uevents.emit("remove", f"/{driver.path}", "drivers")

    # binding

    def attach(self, device: Device) -> bool:
        """Offer an unbound device to the drivers in turn; True if one took it."""
        return any(driver.matches(device) and self.try_driver(driver, device) for driver in self.drivers.values())

    def try_driver(self, driver: Driver[Any], device: Device) -> bool:
        """Let a driver probe a device; True if it took it."""
        try:
            self.bind(driver, device)
        except NoDevice:
            return False
        return True

    def bind(self, driver: Driver[Any], device: Device) -> None:
        """Bind a device to a driver; raises what the driver's probe raises."""
        driver.probe(device)
        device.driver = driver
        driver.devices[device.name] = device
        self._binding_changed(ChangeKind.ADDED, device, driver)
        device.uevent("bind")

    def release(self, device: Device) -> None:
        """Detach a device's driver, if it has one."""
        driver = device.driver
        if driver is None:
            return
        driver.remove(device)
        self._binding_changed(ChangeKind.REMOVED, device, driver)
        device.driver = None
        driver.devices.pop(device.name, None)
        device.uevent("unbind")

    def _binding_changed(self, kind: ChangeKind, device: Device, driver: Driver[Any]) -> None:
        if not self.sysfs.watched:
            return
        for name in ("driver", *(name for group in driver.DEVICE_GROUPS for name in group.names(device))):
            device.entry_changed(kind, name)
        driver.entry_changed(kind, device.name)

    def bind_by_hand(self, driver: Driver[Any], name: str) -> None:
        """Bind the device that was written to the driver's ``bind`` (BUS-45)."""
        device = self.devices.get(name)
        if device is None or not driver.matches(device):
            raise NoDevice(f"there is no device {name!r} that {driver.name} supports")
        if device.driver is not None:
            raise InUse(
                f"{name} is bound to {device.driver.name}",
                holder=Holder("driver", device.driver.name),
                remedy="unbind it there first",
            )
        self.bind(driver, device)

    def unbind_by_hand(self, driver: Driver[Any], name: str) -> None:
        """Unbind the device that was written to the driver's ``unbind`` (BUS-45)."""
        device = driver.devices.get(name)
        if device is None:
            raise NoDevice(f"{name!r} is not bound to {driver.name}")
        self.release(device)
