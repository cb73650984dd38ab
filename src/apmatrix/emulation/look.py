"""Looks at a running emulation through sysfs, as its administrators could, and makes views of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import EMPTY_MATRIX, Apqn, Mask, Matrix
from apmatrix.config import Severity
from apmatrix.emulation.view import AdapterView, GuestView, Holding, LparView, MatrixView, QueueView

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apmatrix.config import LparFile
    from apmatrix.emulation.bringup import Emulation, Guest, System

HOST_DRIVER = "cex4queue"
GUEST_DRIVER = "vfio_ap"


def queue_drivers(system: System) -> dict[Apqn, str | None]:
    """Every queue device of a system and the driver it is bound to."""
    sysfs = system.linux.sysfs
    found: dict[Apqn, str | None] = {Apqn.parse(name): None for name in sysfs.list("bus/ap/devices") if "." in name}
    for driver in sysfs.list("bus/ap/drivers"):
        names = (name for name in sysfs.list(f"bus/ap/drivers/{driver}") if "." in name)
        found.update((Apqn.parse(name), driver) for name in names)
    return found


def assigned_matrix(guest: Guest) -> Matrix:
    """What is assigned to a guest's mdev; nothing if it has none."""
    if guest.refusal:
        return EMPTY_MATRIX
    return Matrix(*map(Mask.parse_hex, guest.host.admin.read(f"{guest.mdev}/ap_config").split(",")))


def guest_matrix(guest: Guest) -> Matrix:
    """What a guest can use: the AND of all levels; nothing while it does not run."""
    return EMPTY_MATRIX if guest.vm is None else guest.vm.level.effective


class Holders:
    """Who holds the queues of one system, looked up once."""

    def __init__(self, system: System) -> None:
        self._drivers = queue_drivers(system)
        self._guests = [
            (guest, assigned_matrix(guest), Holders(guest.system) if guest.system else None)
            for guest in system.guests
        ]

    def look(self, apqn: Apqn) -> QueueView:
        """The queue's holder, as deep down as it was handed on."""
        if apqn not in self._drivers:
            return QueueView(apqn, Holding.ABSENT)
        driver = self._drivers[apqn]
        if driver != GUEST_DRIVER:
            return QueueView(apqn, Holding.HOST if driver else Holding.UNBOUND)
        for guest, assigned, below in self._guests:
            if apqn in assigned:
                names = (guest.file.name,)
                if below is None or apqn not in guest_matrix(guest):
                    return QueueView(apqn, Holding.ASSIGNED, names)
                deeper = below.look(apqn)
                inner = deeper.holder if deeper.holding is Holding.GUEST else ()
                return QueueView(apqn, Holding.GUEST, names + inner)
        return QueueView(apqn, Holding.FREE)


def look(emulation: Emulation) -> MatrixView:
    """The whole machine."""
    systems = {system.names[0]: system for system in emulation.lpars}
    adapters = (emulation.machine.adapters[number] for number in sorted(emulation.machine.adapters))
    findings = emulation.file.findings
    return MatrixView(
        emulation.machine.name,
        tuple(AdapterView(adapter.number, str(adapter.card_type), adapter.state.value) for adapter in adapters),
        tuple(_lpar(lpar, systems.get(lpar.name)) for lpar in emulation.file.lpars),
        tuple(map(str, emulation.refusals)),
        tuple(str(finding) for finding in findings if finding.severity is Severity.WARNING),
    )


def _lpar(file: LparFile, system: System | None) -> LparView:
    if system is None:
        return LparView(file.name, False, file.profile, {}, ())
    holders = Holders(system)
    queues: Mapping[Apqn, QueueView] = {apqn: holders.look(apqn) for apqn in file.profile.apqns()}
    return LparView(file.name, True, file.profile, queues, tuple(_guests(system)))


def _guests(system: System) -> list[GuestView]:
    views = []
    for guest in system.guests:
        views.append(
            GuestView(guest.names, guest.uuid, guest.vm is not None, assigned_matrix(guest), guest_matrix(guest))
        )
        if guest.system is not None:
            views += _guests(guest.system)
    return views
