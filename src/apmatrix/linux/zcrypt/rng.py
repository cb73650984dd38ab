"""The random number generator that the CCA coprocessors provide to Linux (hardware.md 3.8, 4.3).

``/dev/hwrng`` and its attributes below ``/sys/class/misc/hw_random``. The kernel's entropy thread reads once when the
generator appears, which is a request; the 4096 bytes of the reply last it for hours, so there is no other.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar, Final

from apmatrix.arch.messages import Cprbx
from apmatrix.linux.core import AttributeGroup, Mutex, Written
from apmatrix.linux.zcrypt.messages import cca_control, cca_message
from apmatrix.linux.zcrypt.nodes import MiscNode
from apmatrix.rules.refusals import BadValue, Failed, Interrupted, NoDevice, Refused, TooLarge
from apmatrix.rules.text import strict_number

if TYPE_CHECKING:
    from apmatrix.linux.core import Host, Task
    from apmatrix.linux.core.attributes import AnyGroup
    from apmatrix.linux.zcrypt.zcrypt import Zcrypt

MINOR: Final = 183
NAME: Final = "zcrypt"
"""The generator's name."""

BYTES_A_REQUEST: Final = 4096
BEST_QUALITY: Final = 1024
SHORTEST_QUALITY: Final = 2  # bytes of a write
NONE_IN_USE: Final = "no random number generator is in use"
_QUALITY: Final = 990  # per mille, as the driver states
_WORD: Final = 4
_RETRY: Final = 10.0
"""Seconds after which the entropy thread tries again."""

_PARAMETERS: Final = b"RL\x00\x0aRANDOM  \x00\x02\x00\x02"

HWRNG: AttributeGroup[Hwrng] = AttributeGroup()


def random_request(domain: int) -> bytes:
    """The message that asks for 4096 random bytes."""
    room = Cprbx.SIZE + len(_PARAMETERS)
    control = cca_control(_PARAMETERS, domain, reply_room=room, data_room=BYTES_A_REQUEST)
    return cca_message(control, _PARAMETERS[:2], reply_room=room, data_room=BYTES_A_REQUEST)


@HWRNG.show()
def rng_available(hwrng: Hwrng) -> str:
    """The available generators."""
    return f"{NAME} \n" if hwrng.present else "\n"


@HWRNG.show()
def rng_current(hwrng: Hwrng) -> str:
    """The generator in use."""
    return f"{NAME}\n" if hwrng.in_use else "none\n"


@HWRNG.store("rng_current")
def set_rng_current(hwrng: Hwrng, value: Written) -> None:
    """Choose a generator, or ``none``; an empty line means the best one. An unknown name changes nothing."""
    if value.name == "none":
        hwrng.use(chosen=True, on=False)
    elif value.name == "":
        hwrng.use(chosen=False, on=hwrng.present)
    elif value.name == NAME and hwrng.present:
        hwrng.use(chosen=True)


@HWRNG.show()
def rng_selected(hwrng: Hwrng) -> str:
    """1 if the generator in use, or none, was chosen by a write."""
    return f"{hwrng.chosen:d}\n"


@HWRNG.show()
def rng_quality(hwrng: Hwrng) -> str:
    """How many of 1024 bits are taken to be entropy."""
    if not hwrng.in_use:
        raise NoDevice(NONE_IN_USE)
    return f"{hwrng.quality}\n"


@HWRNG.store("rng_quality")
def set_rng_quality(hwrng: Hwrng, value: Written) -> None:
    """Set how many of 1024 bits are taken to be entropy; then the kernel chooses the generator, as the best one."""
    quality = _quality(value)
    if not hwrng.in_use:
        raise NoDevice(NONE_IN_USE)
    hwrng.quality = quality
    hwrng.use(chosen=False)


def _quality(value: Written) -> int:
    """The number that was written, in the grammar N1. Raises BadValue, also for a single byte, as Linux does."""
    try:
        quality = strict_number(value.text)
    except TooLarge:
        quality = BEST_QUALITY + 1
    if len(value.raw) < SHORTEST_QUALITY or quality > BEST_QUALITY:
        raise BadValue(f"{value.name!r} is not a line with a number from 0 to {BEST_QUALITY}")
    return quality


class Hwrng(MiscNode):
    """``/dev/hwrng``. Its generator is there while the host's driver has a queue of a CCA coprocessor.

    ``in_use`` is True while the generator serves the device; ``chosen`` if a write chose that, or chose none.
    """

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (*MiscNode.GROUPS, HWRNG)

    def __init__(self, host: Host, zcrypt: Zcrypt) -> None:
        super().__init__(host, "hw_random", MINOR, 0o600, device_name="hwrng")
        self.quality = _QUALITY
        self.in_use = False
        self.chosen = False
        self._kernel = host.kernel
        self._zcrypt = zcrypt
        self._reading = Mutex(host.kernel, "the hwrng reading mutex")
        self._pool = b""
        self._sources = 0
        self._filling = False
        self._scan: int | None = None
        zcrypt.on_random_sources.append(self._sources_changed)
        self.register()

    @property
    def present(self) -> bool:
        """True if there is a queue to ask."""
        return self._zcrypt.random_sources > 0

    def use(self, *, chosen: bool, on: bool = True) -> None:
        """Use the generator, or none if not ``on``; ``chosen`` by a write."""
        starts = on and not self.in_use
        self.in_use, self.chosen = on, chosen
        if starts:
            self._fill_later(0)

    @property
    def prefetched(self) -> int:
        """How many bytes can be read without a request."""
        return len(self._pool)

    def _sources_changed(self) -> None:
        """The generator appears with its first queue, and goes with the last; it keeps nothing.

        It is used at once, unless a write chose none before.
        """
        before, self._sources = self._sources, self._zcrypt.random_sources
        if not (before and self._sources):
            self._pool = b""
        if not before:
            self._scan = self._zcrypt.bus.scanner.running
            self.quality = self.quality or BEST_QUALITY
            if not self.chosen:
                self.use(chosen=False)
        elif not self._sources and self.in_use:
            self.use(chosen=False, on=False)

    def _fill_later(self, delay: float) -> None:
        clock = self._kernel.clock
        clock.call_later(delay, lambda: clock.spawn(self._fill))

    def _fill(self) -> None:
        """What the entropy thread does: read once, and again after a while as long as it fails."""
        with self._kernel:
            if self._filling or self._pool or not self.in_use or self._zcrypt.bus.stopped:
                return
            self._filling = True
            scan, self._scan = self._scan, None
            try:
                self._zcrypt.request_random(random_request, self._filled, scan)
            except Refused:
                self._filled(b"")

    def _filled(self, data: bytes) -> None:
        self._filling = False
        self._kernel.wake()
        if data:
            self._pool = data[_WORD : len(data) // _WORD * _WORD]
        elif self.in_use:
            self._fill_later(_RETRY)

    def read(self, length: int, task: Task | None = None) -> bytes:
        """``length`` random bytes; fewer if the cards fail meanwhile.

        Refused: ENODEV without a generator, EIO if no card gives any, EINTR for a signal.
        """
        with self._kernel:
            self._reading.acquire(task)
            try:
                self._kernel.wait_until(lambda: not self._filling or (task is not None and task.signalled))
                return self._collect(length, task)
            finally:
                self._reading.release()

    def _collect(self, length: int, task: Task | None) -> bytes:
        collected = b""
        while len(collected) < length:
            try:
                collected += self._some(length - len(collected), task)
            except Refused:
                if not collected:
                    raise
                break
        return collected

    def _some(self, length: int, task: Task | None) -> bytes:
        """At most ``length`` bytes of what the last request brought, or of another."""
        if self._filling:
            raise Interrupted("a signal ended the wait for the entropy thread")
        if not self.in_use:
            raise NoDevice(NONE_IN_USE)
        if not self._pool:
            try:
                data = self._zcrypt.random(random_request, task)
            except Interrupted:
                raise
            except Refused as refused:
                raise Failed(f"no card gives random numbers: {refused}", number=errno.EIO) from refused
            self._pool = data[: len(data) // _WORD * _WORD]
            if not self._pool:
                raise Failed("the card gave no random numbers", number=errno.EIO)
        taken, self._pool = self._pool[:length], self._pool[length:]
        return taken
