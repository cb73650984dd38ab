"""What vfio_ap does when the bus finds other adapters, domains or control domains (host.md section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import EMPTY_MATRIX, Apqn, Configuration, Mask, Matrix

if TYPE_CHECKING:
    from apmatrix.linux.vfio_ap.module import VfioAp

OLDEST_TYPE = 10


def changed(module: VfioAp, new: Configuration) -> None:
    """Follow the configuration at the start of a scan: removals, additions, then the module's copy (CFG-1)."""
    with module.guests_lock:
        _remove(module, module.info.matrix - new.matrix)
        _announce(module, new.matrix - module.info.matrix)
        with module.mdevs_lock:
            module.info = new


def _remove(module: VfioAp, gone: Matrix) -> None:
    """Update once each guest that lost something; the queues vanish later (CFG-2)."""
    if gone == EMPTY_MATRIX:
        return
    for mdev in module.newest_first():
        with module.mdevs_lock:
            before = mdev.guest
            mdev.guest = before - (gone & mdev.matrix)
            if mdev.guest != before:
                module.update_guest(mdev)


def _announce(module: VfioAp, added: Matrix) -> None:
    """Mark what was assigned in advance and has now appeared: guests get it at the end of the scan (CFG-3)."""
    mdevs = module.newest_first()
    if added == EMPTY_MATRIX or not mdevs:
        return
    adapters = Mask.of(*(adapter for adapter in added.apm if _drivable(module, adapter, added.aqm)))
    usable = Matrix(adapters, added.aqm, added.adm)
    with module.mdevs_lock:
        for mdev in mdevs:
            mdev.pending = mdev.pending | (usable & mdev.matrix)


def _drivable(module: VfioAp, adapter: int, domains: Mask) -> bool:
    """False if TAPQ on one of the new domains shows an old type or nothing; without new domains nothing is tested."""
    ports = (module.bus.port(Apqn(adapter, domain)) for domain in domains)
    return all(port.tapq()[1].hardware_type >= OLDEST_TYPE for port in ports)


def settled(module: VfioAp) -> None:
    """Give the guests what was pending, at the end of the scan (CFG-4)."""
    with module.guests_lock:
        for mdev in module.newest_first():
            if mdev.pending == EMPTY_MATRIX:
                continue
            with module.mdevs_lock:
                differs, lost = False, Mask()
                if mdev.pending.apm or mdev.pending.aqm:
                    differs, lost = module.filter(mdev)
                if mdev.pending.adm:
                    differs = module.filter_control_domains(mdev) or differs
                if differs:
                    module.update_guest(mdev)
                module.reset_adapters(mdev, lost)
                mdev.pending = EMPTY_MATRIX
