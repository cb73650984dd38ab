"""The CPC: adapters, LPARs and the functions of the AP instructions at a level.

Each AP function is a method with decoded operands; :mod:`apmatrix.machine.instructions` is the same at register
level. Lock order: ``Cpc.lock`` (adapters, profiles), then a queue's own lock. No instruction takes ``Cpc.lock``.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from apmatrix.arch import (
    ApmatrixError,
    Apqn,
    ConditionCode,
    Configuration,
    Facility,
    Instruction,
    Mask,
    Matrix,
    Registers,
)
from apmatrix.arch.info import FEATURES
from apmatrix.cards import Adapter, Clock, RealClock, WorkerPool
from apmatrix.machine import instructions as register_level
from apmatrix.machine.lpar import ActivationProfile, Lpar, check_profile
from apmatrix.machine.port import Port

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apmatrix.arch import CardFunctions, CardType
    from apmatrix.cards import AdapterState
    from apmatrix.machine.level import Level
    from apmatrix.machine.memory import Memory

DEFAULT_FEATURES = ("APSC", "APXA", "QACT", "RC8A")
"""QCI features of a machine whose file names none."""

DEFAULT_FACILITIES = (Facility.QCI, Facility.APFT, Facility.MSA3)
"""Facilities of a machine whose file names none. Without 65 (AQIC) Linux polls for its replies."""


class Cpc:
    """A machine: its adapters, its LPARs, and what AP instructions do at each level.

    ``clock`` is what everything on the machine waits by. ``workers`` is the number of threads that do the
    cards' arithmetic, by default one per processor.
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
    ) -> None:
        self.name = name
        self.clock = clock or RealClock()
        self.facilities = frozenset(facilities)
        self.max_adapter = max_adapter
        self.max_domain = max_domain
        self.adapters: dict[int, Adapter] = {}
        self.lpars: dict[str, Lpar] = {}
        self.lock = threading.RLock()
        self.workers = WorkerPool(workers)
        self.set_features(features)

    def set_features(self, features: Iterable[str]) -> None:
        """Choose the QCI features that the machine offers; ApmatrixError for an unknown name."""
        names = frozenset(features)
        if unknown := names - frozenset(FEATURES):
            raise ApmatrixError(f"{sorted(unknown)[0]!r} is no AP feature: there are {', '.join(FEATURES)}")
        self.features = names
        self._configuration = Configuration(
            **{name.lower(): name in names for name in FEATURES},
            highest_adapter=self.max_adapter,
            highest_domain=self.max_domain,
        )

    @property
    def highest(self) -> Matrix:
        """Every adapter and domain number that exists on this machine."""
        domains = Mask.up_to(self.max_domain)
        return Matrix(Mask.up_to(self.max_adapter), domains, domains)

    # adapters and LPARs

    def add_adapter(
        self,
        number: int,
        card_type: CardType,
        *,
        functions: CardFunctions | None = None,
        **options: Any,
    ) -> Adapter:
        """Plug an adapter; ApmatrixError if the number is taken or beyond the machine's highest.

        ``options`` are those of ``Adapter``: depth, state, reset_duration …
        """
        with self.lock:
            if number in self.adapters:
                raise ApmatrixError(f"adapter {number} is there already: choose another number")
            if not 0 <= number <= self.max_adapter:
                raise ApmatrixError(f"adapter {number} is outside 0-{self.max_adapter}")
            adapter = Adapter(number, card_type, functions, clock=self.clock, workers=self.workers, **options)
            self.adapters[number] = adapter
            return adapter

    def set_adapter_state(self, number: int, state: AdapterState) -> None:
        """Configure an adapter on or off, or make it fail; ApmatrixError if there is no such adapter."""
        with self.lock:
            if number not in self.adapters:
                known = Mask.of(*self.adapters).ranges() or "none"
                raise ApmatrixError(f"there is no adapter {number} in {self.name}: it has {known}")
            self.adapters[number].set_state(state)

    def configure(self, level: Level, number: int, *, on: bool) -> bool:
        """SCLP: configure an adapter on or off for an LPAR; False for a guest, which has no such service.

        The other LPARs keep it. Requests and replies of this LPAR are dropped.
        """
        if level.parent is not None or number not in level.matrix.apm:
            return False
        bit = Mask.of(number)
        with self.lock:
            level.configured_off = level.configured_off - bit if on else level.configured_off | bit
            if not on:
                self._zeroize(Matrix(bit, level.matrix.aqm))
        return True

    def add_lpar(self, profile: ActivationProfile) -> Lpar:
        """Activate an LPAR; raises ProfileError if its queues are another's, or the name is taken."""
        with self.lock:
            if profile.name in self.lpars:
                raise ApmatrixError(f"LPAR {profile.name} is active already: choose another name")
            check_profile(profile, self.lpars.values(), self.highest)
            lpar = Lpar(profile, self.facilities)
            self.lpars[profile.name] = lpar
            return lpar

    def set_profile(self, name: str, matrix: Matrix) -> None:
        """Edit the profile of a running LPAR. Queues that leave it are zeroized before anybody gets them.

        Raises ProfileError, and then nothing changed. Linux notices at its next scan.
        """
        with self.lock:
            if name not in self.lpars:
                raise ApmatrixError(f"there is no LPAR {name} in {self.name}: it has {', '.join(self.lpars)}")
            lpar = self.lpars[name]
            profile = ActivationProfile(name, matrix)
            check_profile(profile, (other for other in self.lpars.values() if other is not lpar), self.highest)
            before = lpar.level.matrix
            lpar.profile = profile
            lpar.level.set_matrix(matrix)
            self._zeroize(before, keep=matrix)

    def remove_lpar(self, name: str) -> None:
        """Deactivate an LPAR; its queues are zeroized. KeyError if there is none of that name."""
        with self.lock:
            self.reset_level(self.lpars.pop(name).level)

    def reset_level(self, level: Level) -> None:
        """Zeroize every queue of a level that ends, and take its masks away."""
        before = level.effective
        level.close()
        self._zeroize(before)

    def _zeroize(self, matrix: Matrix, keep: Matrix | None = None) -> None:
        for number in matrix.apm:
            adapter = self.adapters.get(number)
            for queue in adapter.used_queues() if adapter else ():
                gone = keep is None or queue.apqn not in keep
                if gone and queue.apqn.domain in matrix.aqm:
                    queue.reclaim()

    def close(self) -> None:
        """End the machine: what the cards have is finished, nothing more is taken."""
        self.workers.close()

    # the AP functions

    def port(self, level: Level, apqn: Apqn) -> Port:
        """The AP functions of a level on one queue; a caller that uses a queue often keeps its port."""
        return Port(self, level, apqn)

    def qci(self, level: Level) -> Configuration:
        """The level's own view: features, limits and effective masks."""
        matrix = level.effective
        return self._configuration.replace(apm=matrix.apm, aqm=matrix.aqm, adm=matrix.adm)

    def execute(self, level: Level, instruction: Instruction, registers: Registers, memory: Memory) -> ConditionCode:
        """Execute NQAP, DQAP or PQAP at a level; the registers and the memory change as on the hardware.

        Returns the condition code. Raises ProgramCheck, and then nothing was changed; Intercepted where the
        level's hypervisor leaves the instruction to user space.
        """
        return register_level.execute(self, level, instruction, registers, memory)

    def __repr__(self) -> str:
        return f"Cpc({self.name!r}, adapters {Mask.of(*self.adapters).ranges()}, LPARs {', '.join(self.lpars)})"
