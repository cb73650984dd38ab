"""Looks at running systems through sysfs, as their administrators could, and makes views of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from apmatrix.arch import EMPTY_MATRIX, Apqn, Mask, Matrix
from apmatrix.emulation.administrator import MATRIX
from apmatrix.emulation.view import AdapterView, GuestView, Holding, LparView, MatrixView, QueueView

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from apmatrix.emulation.bringup import Emulation, Guest
    from apmatrix.linux import LinuxSystem, Vm

    Names = Mapping[LinuxSystem, Mapping[str, str]]  # of each system: names of mdevs by UUID

HOST_DRIVER = "cex4queue"
GUEST_DRIVER = "vfio_ap"

LONGEST_MATRIX = 4094
"""Length from which on Linux may have cut the text of a matrix (MTX-41)."""


@dataclass(frozen=True, slots=True)
class Mdev:
    """An mdev of a system: its UUID, what is assigned to it, and the VM that has it."""

    uuid: str
    assigned: Matrix
    vm: Vm | None

    @property
    def effective(self) -> Matrix:
        """What its VM can use: the AND of all levels; nothing without one."""
        return EMPTY_MATRIX if self.vm is None else self.vm.level.effective

    @property
    def guest(self) -> LinuxSystem | None:
        """The Linux in the VM, if it was booted."""
        return self.vm.linux if self.vm is not None and self.vm.booted else None


def mdevs(linux: LinuxSystem) -> Iterator[Mdev]:
    """The mdevs of a system; those whose removal waits for their guest have nothing assigned any more."""
    if linux.vfio_ap is None:
        return
    users = {file.mdev.name: vm for vm in linux.vmm.vms for file in vm.files}
    for name in linux.sysfs.list(MATRIX):
        if _is_uuid(name):
            yield Mdev(name, assigned_matrix(linux, name), users.get(name))


def assigned_matrix(linux: LinuxSystem, uuid: str) -> Matrix:
    """What is assigned to an mdev; nothing if there is no such mdev."""
    try:
        text = linux.sysfs.read(f"{MATRIX}/{uuid}/ap_config").decode()
    except FileNotFoundError:
        return EMPTY_MATRIX
    return Matrix(*map(Mask.parse_hex, text.strip().split(",")))


def handed_on(guest: Guest) -> Matrix:
    """What vfio_ap left of a guest's matrix after its filter, whether the guest runs or not."""
    text = guest.host.admin.read(f"{guest.mdev}/guest_matrix") if guest.defined else ""
    vm = guest.vm
    if vm is not None and len(text) >= LONGEST_MATRIX:
        return vm.level.matrix
    # Lines with an adapter or a domain only have no queue.
    apqns = [Apqn.parse(line) for line in text.split("\n") if len(line) == len("05.00ab")]
    return Matrix(Mask.of(*(apqn.adapter for apqn in apqns)), Mask.of(*(apqn.domain for apqn in apqns)))


def granted(emulation: Emulation, guest: Guest) -> Matrix:
    """What a running guest should have by what its hosts say, all levels together; the machine is not asked."""
    matrix = next(lpar.profile for lpar in emulation.file.lpars if lpar.name == guest.names[0])
    for above in emulation.guests():
        vm = above.vm
        if vm is not None and guest.names[: len(above.names)] == above.names:
            matrix = matrix & handed_on(above) & vm.level.form.limits
    return matrix


def _is_uuid(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def queue_drivers(linux: LinuxSystem) -> dict[Apqn, str | None]:
    """Every queue device of a system and the driver it is bound to."""
    sysfs = linux.sysfs
    found: dict[Apqn, str | None] = {Apqn.parse(name): None for name in sysfs.list("bus/ap/devices") if "." in name}
    for driver in sysfs.list("bus/ap/drivers"):
        names = (name for name in sysfs.list(f"bus/ap/drivers/{driver}") if "." in name)
        found.update((Apqn.parse(name), driver) for name in names)
    return found


class Holders:
    """Who holds the queues of one system, looked up once."""

    def __init__(self, linux: LinuxSystem, names: Names) -> None:
        self._drivers = queue_drivers(linux)
        known = names.get(linux, {})
        self._mdevs: dict[Apqn, tuple[str, Matrix, Holders | None]] = {}  # an APQN is in one mdev at most
        for mdev in mdevs(linux):
            below = Holders(mdev.guest, names) if mdev.guest else None
            entry = (known.get(mdev.uuid, mdev.uuid), mdev.effective, below)
            self._mdevs.update(dict.fromkeys(mdev.assigned.apqns(), entry))

    def look(self, apqn: Apqn) -> QueueView:
        """The queue's holder, as deep down as it was handed on."""
        if apqn not in self._drivers:
            return QueueView(apqn, Holding.ABSENT)
        driver = self._drivers[apqn]
        if driver != GUEST_DRIVER:
            return QueueView(apqn, Holding.HOST if driver else Holding.UNBOUND)
        if apqn not in self._mdevs:
            return QueueView(apqn, Holding.FREE)
        name, effective, below = self._mdevs[apqn]
        if apqn not in effective:
            return QueueView(apqn, Holding.ASSIGNED, (name,))
        deeper = below.look(apqn) if below else None
        inner = deeper.holder if deeper and deeper.holding is Holding.GUEST else ()
        return QueueView(apqn, Holding.GUEST, (name, *inner))


def look(emulation: Emulation) -> MatrixView:
    """The whole machine as it is now."""
    machine = emulation.machine
    names = {system.linux: {guest.uuid: guest.file.name for guest in system.guests} for system in emulation.systems()}
    systems = {system.names[0]: system.linux for system in emulation.lpars}
    return MatrixView(
        machine.name,
        tuple(
            AdapterView(number, str(adapter.card_type), adapter.state.value)
            for number, adapter in sorted(machine.adapters.items())
        ),
        tuple(
            _lpar(lpar.name, systems[lpar.name], names)
            if lpar.name in systems
            else LparView(lpar.name, False, lpar.profile)
            for lpar in emulation.file.lpars
        ),
        tuple(map(str, emulation.refusals)),
        tuple(map(str, emulation.file.findings)),
    )


def _lpar(name: str, linux: LinuxSystem, names: Names) -> LparView:
    profile = linux.level.matrix
    holders = Holders(linux, names)
    queues = tuple(holders.look(apqn) for apqn in profile.apqns())
    return LparView(name, True, profile, queues, tuple(_guests((name,), linux, names)))


def _guests(above: tuple[str, ...], linux: LinuxSystem, names: Names) -> Iterator[GuestView]:
    known = names.get(linux, {})
    places = {uuid: place for place, uuid in enumerate(known)}
    for mdev in sorted(mdevs(linux), key=lambda mdev: places.get(mdev.uuid, len(places))):
        path = (*above, known.get(mdev.uuid, mdev.uuid))
        yield GuestView("/".join(path), mdev.uuid, mdev.vm is not None, mdev.assigned, mdev.effective)
        if mdev.guest is not None:
            yield from _guests(path, mdev.guest, names)
