"""The CPC: its adapters, its LPARs, and the ports through which levels use queues.

Lock order: ``Cpc.lock`` (adapters, profiles), then a queue's own lock. No instruction takes ``Cpc.lock``.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from apmatrix.arch import (
    EMPTY_MATRIX,
    Apqn,
    Configuration,
    Facility,
    Mask,
    Matrix,
)
from apmatrix.arch.events import AdapterConfigured, AdapterStateChanged, ControlBlockChanged, ProfileChanged
from apmatrix.arch.info import FEATURES
from apmatrix.cards import Adapter, AdapterState, Clock, RealClock, WorkerPool
from apmatrix.machine.errors import AdapterRefused, LparActive, UnknownAdapter, UnknownFeature, UnknownLpar
from apmatrix.machine.lpar import ActivationProfile, Lpar, check_profile
from apmatrix.machine.port import Port
from apmatrix.rules import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apmatrix.arch import CardFunctions, CardType
    from apmatrix.arch.events import AnyEvent
    from apmatrix.machine.level import Level

DEFAULT_FEATURES = ("APSC", "APXA", "QACT", "RC8A")
"""QCI features of a machine whose file names none."""

DEFAULT_FACILITIES = (Facility.QCI, Facility.APFT, Facility.MSA3)
"""Facilities of a machine whose file names none. Without 65 (AQIC) Linux polls for its replies."""


class Cpc:
    """A machine: its adapters and its LPARs.

    Everything on the machine waits by ``clock``. ``workers`` is the number of threads that do the
    cards' arithmetic, by default one per processor. ``observers`` are called with each event, where it happens and
    with the locks that are held there: an observer must return at once and must not call the machine.
    ``channel_reports`` says whether the machine notifies LPARs of changes of their AP configuration (BUS-70).
    """

    def __init__(
        self,
        name: str = "cpc1",
        *,
        clock: Clock | None = None,
        facilities: Iterable[int] = DEFAULT_FACILITIES,
        features: Iterable[str] = DEFAULT_FEATURES,
        max_adapter: int = 255,
        max_domain: int = 255,
        workers: int | None = None,
        channel_reports: bool = True,
    ) -> None:
        self.name = name
        self._channel_reports = channel_reports
        self.clock = clock or RealClock()
        self.facilities = frozenset(facilities)
        self.max_adapter = max_adapter
        self.max_domain = max_domain
        self.adapters: dict[int, Adapter] = {}
        self.lpars: dict[str, Lpar] = {}
        self.observers: list[Callable[[AnyEvent], None]] = []
        self.lock = threading.RLock()
        self.workers = WorkerPool(workers)
        self.set_features(features)

    def set_features(self, features: Iterable[str]) -> None:
        """Choose the QCI features that the machine offers; raises UnknownFeature."""
        names = frozenset(features)
        if unknown := names - frozenset(FEATURES):
            raise UnknownFeature(f"{sorted(unknown)[0]!r} is not an AP feature: choose from {', '.join(FEATURES)}")
        self.features = names
        self._configuration = Configuration(
            **{name.lower(): name in names for name in FEATURES},
            highest_adapter=self.max_adapter,
            highest_domain=self.max_domain,
        )

    @property
    def highest(self) -> Matrix:
        """Every adapter and domain number that exists on this machine."""
        return limits.up_to(self.max_adapter, self.max_domain)

    def announce(self, event: AnyEvent) -> None:
        """Tell the observers what happened."""
        for observer in tuple(self.observers):
            observer(event)

    # adapters and LPARs

    def add_adapter(
        self,
        number: int,
        card_type: CardType,
        *,
        functions: CardFunctions | None = None,
        **options: Any,
    ) -> Adapter:
        """Plug an adapter; raises AdapterRefused if its number is taken or beyond the machine's highest.

        ``options`` are those of ``Adapter``: depth, state, reset_duration …
        """
        with self.lock:
            self.check_adapter(number)
            options.setdefault("workers", self.workers)
            adapter = Adapter(number, card_type, functions, clock=self.clock, **options)
            adapter.state_changed = lambda state: self.announce(AdapterStateChanged(number, state.value))
            self.adapters[number] = adapter
        self._report(number)
        return adapter

    def _report(self, adapter: int) -> None:
        """Notify the LPARs that have an adapter of a change of their configuration."""
        for lpar in tuple(self.lpars.values()):
            if adapter in lpar.level.matrix.apm:
                self._notify(lpar)

    def _notify(self, lpar: Lpar) -> None:
        if self._channel_reports:
            lpar.level.report_change()

    def check_adapter(self, number: int) -> None:
        """Raise AdapterRefused if an adapter's number is taken or beyond the machine's highest."""
        if number in self.adapters:
            raise AdapterRefused(f"adapter {number} already exists: choose another number")
        if not 0 <= number <= self.max_adapter:
            raise AdapterRefused(f"adapter {number} is outside 0-{self.max_adapter}")

    def set_adapter_state(self, number: int, state: AdapterState) -> None:
        """Configure an adapter on or off, or make it fail; raises UnknownAdapter.

        The LPARs that have it are notified if it is configured on or off; Linux finds a failure by itself.
        """
        with self.lock:
            if number not in self.adapters:
                known = Mask.of(*self.adapters).ranges() or "none"
                raise UnknownAdapter(f"there is no adapter {number} in {self.name}: it has {known}")
            adapter = self.adapters[number]
            before = adapter.state
            adapter.set_state(state)
        if (before is AdapterState.DECONFIGURED) is not (state is AdapterState.DECONFIGURED):
            self._report(number)

    def configure(self, level: Level, number: int, *, on: bool) -> bool:
        """SCLP: configure an adapter on or off for an LPAR; False for a guest, which has no such service.

        The other LPARs keep it. This LPAR's requests and replies are dropped.
        """
        if level.parent is not None or number not in level.matrix.apm:
            return False
        bit = Mask.of(number)
        with self.lock:
            level.configured_off = level.configured_off - bit if on else level.configured_off | bit
            if not on:
                self._reclaim(Matrix(bit, level.matrix.aqm))
        self.announce(AdapterConfigured(level.name, number, on))
        return True

    def add_lpar(self, profile: ActivationProfile) -> Lpar:
        """Activate an LPAR; raises LparActive, or ProfileError if another LPAR has its queues."""
        with self.lock:
            if profile.name in self.lpars:
                raise LparActive(f"LPAR {profile.name} is already active: choose another name")
            check_profile(profile, self.lpars.values(), self.highest)
            lpar = Lpar(profile, self.facilities)
            lpar.level.matrix_changed = self._matrix_changed
            self.lpars[profile.name] = lpar
            return lpar

    def set_profile(self, name: str, matrix: Matrix) -> None:
        """Edit the profile of a running LPAR. Queues that leave it are zeroized before another LPAR can get them.

        Raises UnknownLpar or ProfileError, in which case nothing has changed. The LPAR is notified: Linux scans.
        """
        with self.lock:
            lpar = self._active(name)
            profile = ActivationProfile(name, matrix)
            check_profile(profile, (other for other in self.lpars.values() if other is not lpar), self.highest)
            before = lpar.level.matrix
            lpar.profile = profile
            lpar.level.set_matrix(matrix)
            self._reclaim(before, keep=matrix)
        self.announce(ProfileChanged(name, matrix.apm, matrix.aqm, matrix.adm))
        if matrix != before:
            self._notify(lpar)

    def remove_lpar(self, name: str) -> None:
        """Deactivate an LPAR; its queues are zeroized. Raises UnknownLpar."""
        with self.lock:
            level = self._active(name).level
            del self.lpars[name]
            before = level.matrix
            level.close()
            self._reclaim(before)

    def power_off(self) -> None:
        """Deactivate all LPARs, whatever runs in them: their queues are zeroized, and no AP function is executed."""
        with self.lock:
            for name in tuple(self.lpars):
                self.remove_lpar(name)

    def _matrix_changed(self, level: Level) -> None:
        if level.parent is not None:  # the masks of an LPAR are those of its profile
            matrix = level.matrix
            self.announce(ControlBlockChanged(level.path, matrix.apm, matrix.aqm, matrix.adm))

    def _active(self, name: str) -> Lpar:
        if name not in self.lpars:
            raise UnknownLpar(f"there is no LPAR {name} in {self.name}: it has {', '.join(self.lpars) or 'none'}")
        return self.lpars[name]

    def zeroize(self, level: Level) -> None:
        """Empty and zeroize the queues of a level whose program has ended; the level keeps them.

        Nothing is left for its next program, whatever state the queues are in and whatever fault ZAPQ would meet:
        no AP function is executed. Master keys stay. The masks may change meanwhile, as no level takes ``Cpc.lock``
        for that: a queue that the level has just lost is left alone, with what its new owner has put there.
        """
        with self.lock:
            self._reclaim(level.effective, owner=level)

    def _reclaim(self, matrix: Matrix, keep: Matrix = EMPTY_MATRIX, owner: Level | None = None) -> None:
        """Take the queues of ``matrix`` except those of ``keep``; with an ``owner``, only what it still has."""
        for number in matrix.apm:
            adapter = self.adapters.get(number)
            for queue in adapter.used_queues() if adapter else ():
                if queue.apqn.domain not in matrix.aqm or queue.apqn in keep:
                    continue
                if owner is None:
                    queue.reclaim()
                else:
                    queue.reclaim(self.port(owner, queue.apqn).right)

    def close(self) -> None:
        """End the machine: the cards finish what they have and take nothing more. A real clock's timers end."""
        self.workers.close()
        if isinstance(self.clock, RealClock):
            self.clock.close()

    # levels and their queues

    def port(self, level: Level, apqn: Apqn) -> Port:
        """The AP functions of a level on one queue; a caller that uses a queue often keeps its port."""
        return Port(self, level, apqn)

    def qci(self, level: Level) -> Configuration:
        """The level's own view: features, limits and effective masks."""
        matrix = level.effective
        return self._configuration.replace(apm=matrix.apm, aqm=matrix.aqm, adm=matrix.adm)

    def __repr__(self) -> str:
        return f"Cpc({self.name!r}, adapters {Mask.of(*self.adapters).ranges()}, LPARs {', '.join(self.lpars)})"
