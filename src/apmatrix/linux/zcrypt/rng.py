"""The random number generator that the CCA coprocessors provide to Linux (hardware.md 3.8, 4.3).

``/dev/hwrng`` and its attributes below ``/sys/class/misc/hw_random``. Nothing is requested in advance: the emulated
kernel has no entropy thread.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar, Final

from apmatrix.arch import Mode
from apmatrix.arch.messages import Cprbx
from apmatrix.linux.core import AttributeGroup, Mutex, Written
from apmatrix.linux.zcrypt.messages import cca_control, cca_message
from apmatrix.linux.zcrypt.nodes import MiscNode
from apmatrix.rules.refusals import BadValue, Failed, Interrupted, NoDevice, Refused

if TYPE_CHECKING:
    from apmatrix.linux.core import Host, Task
    from apmatrix.linux.core.attributes import AnyGroup
    from apmatrix.linux.zcrypt.zcrypt import Zcrypt

MINOR: Final = 183
NAME: Final = "zcrypt"
"""The generator's name."""

BYTES_A_REQUEST: Final = 4096
BEST_QUALITY: Final = 1024
_QUALITY: Final = 990  # per mille, as the driver states
_WORD: Final = 4
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
    return f"{NAME}\n" if hwrng.present else "none\n"


@HWRNG.store("rng_current")
def set_rng_current(hwrng: Hwrng, value: Written) -> None:
    """Choose a generator; an empty line means the best one. An unknown name changes nothing."""
    hwrng.chosen = hwrng.present and (value.line == NAME or (hwrng.chosen and value.line != ""))


@HWRNG.show()
def rng_selected(hwrng: Hwrng) -> str:
    """1 if the generator was chosen by a write."""
    return f"{hwrng.present and hwrng.chosen:d}\n"


@HWRNG.show()
def rng_quality(hwrng: Hwrng) -> str:
    """How many of 1024 bits are taken to be entropy."""
    if not hwrng.present:
        raise NoDevice("there is no random number generator")
    return f"{hwrng.quality}\n"


@HWRNG.store("rng_quality")
def set_rng_quality(hwrng: Hwrng, value: Written) -> None:
    """Set how many of 1024 bits are taken to be entropy."""
    try:
        quality = int(value.line, 0)
    except ValueError:
        quality = -1
    if not 0 <= quality <= BEST_QUALITY:
        raise BadValue(f"{value.line!r} is not a number from 0 to {BEST_QUALITY}")
    if not hwrng.present:
        raise NoDevice("there is no random number generator")
    hwrng.quality = quality


class Hwrng(MiscNode):
    """``/dev/hwrng``. It works while the host's driver has a queue of a CCA coprocessor."""

    GROUPS: ClassVar[tuple[AnyGroup, ...]] = (*MiscNode.GROUPS, HWRNG)

    def __init__(self, host: Host, zcrypt: Zcrypt) -> None:
        super().__init__(host, "hw_random", MINOR, 0o600, device_name="hwrng")
        self.quality = _QUALITY
        self.chosen = False
        self._kernel = host.kernel
        self._zcrypt = zcrypt
        self._reading = Mutex(host.kernel, "the hwrng reading mutex")
        self._pool = b""
        self.register()

    @property
    def present(self) -> bool:
        """True if there is a queue to ask."""
        active = self._zcrypt.bus.active.values()
        return any(queue.has_host_driver and queue.card.mode is Mode.CCA for queue in active)

    def read(self, length: int, task: Task | None = None) -> bytes:
        """``length`` random bytes; fewer if the cards fail meanwhile.

        Refused: ENODEV without a generator, EIO if no card gives any, EINTR for a signal.
        """
        with self._kernel:
            self._reading.acquire(task)
            try:
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
        if not self.present:
            self._pool = b""
            raise NoDevice("there is no random number generator")
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
