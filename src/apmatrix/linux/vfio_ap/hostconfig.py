"""Following the host configuration (host.md section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.arch import EMPTY_MATRIX, Apqn, Configuration, Mask, Matrix

if TYPE_CHECKING:
    from apmatrix.linux.vfio_ap.module import VfioAp

OLDEST_TYPE = 10


class HostConfiguration:
    """What vfio_ap does when the bus finds other adapters, domains or control domains."""

    def __init__(self, module: VfioAp) -> None:
        self._module = module

    def changed(self, new: Configuration, old: Configuration) -> None:
        """At the start of a scan: removals, additions, then the copy (CFG-1)."""
        module = self._module
        del old
        with module.guests_lock:
            self._remove(module.info.matrix - new.matrix)
            self._announce(new.matrix - module.info.matrix)
            with module.mdevs_lock:
                module.info = new

    def _remove(self, gone: Matrix) -> None:
        """CFG-2: one update for each guest that lost something; the queues vanish later."""
        if gone == EMPTY_MATRIX:
            return
        for mdev in self._module.newest_first():
            with self._module.mdevs_lock:
                before = mdev.guest
                mdev.guest = before - (gone & mdev.matrix)
                if mdev.guest != before:
                    self._module.update_guest(mdev)

    def _announce(self, added: Matrix) -> None:
        """CFG-3: what was assigned ahead and is now there, waits for the end of the scan."""
        module = self._module
        mdevs = module.newest_first()
        if added == EMPTY_MATRIX or not mdevs:
            return
        adapters = Mask.of(*(adapter for adapter in added.apm if self._drivable(adapter, added.aqm)))
        usable = Matrix(adapters, added.aqm, added.adm)
        with module.mdevs_lock:
            for mdev in mdevs:
                mdev.pending = mdev.pending | (usable & mdev.matrix)

    def _drivable(self, adapter: int, domains: Mask) -> bool:
        """False if TAPQ on one of the new domains shows an old type or nothing; no domain, no test."""
        ports = (self._module.bus.port(Apqn(adapter, domain)) for domain in domains)
        return all(port.tapq()[1].hardware_type >= OLDEST_TYPE for port in ports)

    def settled(self) -> None:
        """At the end of the scan: what was pending becomes part of the guests (CFG-4)."""
        module = self._module
        with module.guests_lock:
            for mdev in module.newest_first():
                if mdev.pending == EMPTY_MATRIX:
                    continue
                with module.mdevs_lock:
                    changed, lost = False, Mask()
                    if mdev.pending.apm or mdev.pending.aqm:
                        changed, lost = module.filter(mdev)
                    if mdev.pending.adm:
                        changed = module.filter_control_domains(mdev) or changed
                    if changed:
                        module.update_guest(mdev)
                    module.reset_adapters(mdev, lost)
                    mdev.pending = EMPTY_MATRIX
