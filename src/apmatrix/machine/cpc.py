"""The CPC: adapters, LPARs and the functions of the AP instructions at a level.

Each AP function is a method with decoded operands; :mod:`apmatrix.machine.execute` is the same at register
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
    QueueInfo,
    QueueStatus,
    Registers,
    ResponseCode,
)
from apmatrix.arch.info import FEATURES
from apmatrix.arch.status import NOT_AVAILABLE, queue_status
from apmatrix.cards import Adapter, Clock, Delivery, RealClock, Request, WorkerPool
from apmatrix.machine import execute as register_level
from apmatrix.machine.lpar import ActivationProfile, Lpar, check_profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from apmatrix.arch import CardType, Functions
    from apmatrix.cards import AdapterState, Indication, Queue
    from apmatrix.machine.level import Level
    from apmatrix.machine.memory import Memory

DEFAULT_FEATURES = ("APSC", "APXA", "QACT", "RC8A")
"""QCI features of a machine whose file names none."""

DEFAULT_FACILITIES = (Facility.QCI, Facility.APFT, Facility.MSA3)
"""Facilities of a machine whose file names none. Without 65 (AQIC) Linux polls for its replies."""

UNKNOWN = QueueInfo(0)
CONFIGURED_OFF = queue_status(ResponseCode.DECONFIGURED, empty=True)


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
        functions: Functions | None = None,
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
            options.setdefault("workers", self.workers)
            adapter = Adapter(number, card_type, functions, clock=self.clock, **options)
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

    def find_queue(self, level: Level, apqn: Apqn) -> Queue | QueueStatus:
        """The queue, or the status that says why the level cannot use it: 01, or 03 if configured off by SCLP."""
        adapter = self.adapters.get(apqn.adapter)
        if adapter is None or apqn not in level.effective:
            return NOT_AVAILABLE
        if apqn.adapter in level.root.configured_off:
            return CONFIGURED_OFF
        return adapter.queue(apqn.domain)

    def tapq(self, level: Level, apqn: Apqn) -> tuple[QueueStatus, QueueInfo]:
        """Test a queue: its status and the adapter's information word, all zero where there is no queue.

        The word is as much of it as the level can ask for: without facility 15 type and depth.
        """
        queue = self.find_queue(level, apqn)
        status = queue if isinstance(queue, QueueStatus) else queue.test()
        if status.response_code == ResponseCode.NOT_AVAILABLE and not status.async_error:
            return status, UNKNOWN
        info = self.adapters[apqn.adapter].info(self.max_domain)
        return status, info if Facility.APFT in level.facilities else info.without_facilities

    def rapq(self, level: Level, apqn: Apqn) -> QueueStatus:
        """Reset a queue: requests and replies are dropped, interruptions disabled."""
        queue = self.find_queue(level, apqn)
        return queue if isinstance(queue, QueueStatus) else queue.reset(allowed=_holds(level, apqn))

    def zapq(self, level: Level, apqn: Apqn) -> QueueStatus:
        """Reset a queue and zeroize what it holds for its owner; master keys stay (hardware.md 6.2)."""
        queue = self.find_queue(level, apqn)
        return queue if isinstance(queue, QueueStatus) else queue.reset(zeroize=True, allowed=_holds(level, apqn))

    def aqic(self, level: Level, apqn: Apqn, indication: Indication | None) -> QueueStatus:
        """Enable (with an indication) or disable (None) the interruptions of a queue."""
        queue = self.find_queue(level, apqn)
        return queue if isinstance(queue, QueueStatus) else queue.set_interruption(indication, _holds(level, apqn))

    def qci(self, level: Level) -> Configuration:
        """The level's own view: features, limits and effective masks."""
        matrix = level.effective
        return self._configuration.replace(apm=matrix.apm, aqm=matrix.aqm, adm=matrix.adm)

    def qact(self, level: Level, apqn: Apqn, mode: Functions, highest: int) -> tuple[QueueStatus, int]:
        """The type up to ``highest`` that a queue's adapter is compatible with in ``mode``; 0 if none."""
        queue = self.find_queue(level, apqn)
        if isinstance(queue, QueueStatus):
            return queue, 0
        status = queue.test()
        adapter = self.adapters[apqn.adapter]
        same_mode = bool(adapter.functions.modes.value & mode.modes.value)
        known = adapter.hardware_type if adapter.hardware_type <= highest else adapter.compatible_type
        return status, known if known and same_mode and status.ok else 0

    def nqap(
        self, level: Level, apqn: Apqn, message_id: int, message: bytes, *, special: bool = False
    ) -> QueueStatus:
        """Put a request message on a queue; the reply carries ``message_id``, a number of 64 bits."""
        queue = self.find_queue(level, apqn)
        if isinstance(queue, QueueStatus):
            return queue
        request = Request(message_id, message, special, level.effective.adm, "RC8A" in self.features)
        return queue.enqueue(request, _holds(level, apqn))

    def dqap(self, level: Level, apqn: Apqn, length: int, position: int = 0) -> Delivery:
        """Take the next reply, or ``length`` bytes of it from ``position`` on (hardware.md 1.6)."""
        queue = self.find_queue(level, apqn)
        if isinstance(queue, QueueStatus):
            return Delivery(queue)
        return queue.dequeue(length, position, _holds(level, apqn))

    def execute(self, level: Level, instruction: Instruction, registers: Registers, memory: Memory) -> ConditionCode:
        """Execute NQAP, DQAP or PQAP at a level; the registers and the memory change as on the hardware.

        Returns the condition code. Raises ProgramCheck, and then nothing was changed; Intercepted where the
        level's hypervisor leaves the instruction to user space.
        """
        return register_level.execute(self, level, instruction, registers, memory)

    def __repr__(self) -> str:
        return f"Cpc({self.name!r}, adapters {Mask.of(*self.adapters).ranges()}, LPARs {', '.join(self.lpars)})"


def _holds(level: Level, apqn: Apqn) -> Callable[[], bool]:
    """Whether the level still has the queue."""
    return lambda: apqn in level.effective
