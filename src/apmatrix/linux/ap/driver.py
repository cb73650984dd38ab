"""Drivers of the AP bus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from apmatrix.linux.core import Driver

if TYPE_CHECKING:
    from apmatrix.arch import Configuration, Matrix


class ApBusDriver(Driver[Any]):
    """Base of the AP drivers; ``DEFAULT`` marks those of the host itself (BUS-43)."""

    __slots__ = ()

    DEFAULT: ClassVar[bool] = True

    def in_use(self, wanted: Matrix) -> None:
        """Refuse (InUse) to give the queues of ``wanted`` to the host; the default drivers never do (BUS-34)."""

    def on_config_changed(self, new: Configuration, old: Configuration) -> None:
        """Called at the start of a scan that found another configuration; the default drivers do nothing (CFG-1)."""

    def on_scan_complete(self, new: Configuration, old: Configuration) -> None:
        """Called at the end of a scan that found another configuration; the default drivers do nothing (CFG-4)."""


def is_default(driver: Driver[Any] | None) -> bool:
    """True for the host's own drivers."""
    return isinstance(driver, ApBusDriver) and driver.DEFAULT
