"""Crypto requests of a program in an emulated Linux system, as through ``/dev/z90crypt``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from apmatrix.api.errors import as_system_call
from apmatrix.api.values import AnyApqn, as_apqn
from apmatrix.arch.arguments import checked
from apmatrix.emulation.rsa import Question, RsaKey
from apmatrix.linux.zcrypt import CcaReply, CcaRequest, Ep11Request, ModExpo
from apmatrix.linux.zcrypt.cprb import ANY_CARD

if TYPE_CHECKING:
    from collections.abc import Callable

    from apmatrix.linux import LinuxSystem


__tracebackhide__ = True  # pytest shows the caller's line instead


class Crypto:
    """Sends requests to the cards that a Linux system has, and waits for their answers.

    zcrypt chooses a queue of the system's own drivers; ``queue`` names the only one to use. Every method raises
    OSError with the errno of the ioctl: ENODEV if no queue can do it, EINVAL for a malformed request, EIO after ten
    tries.
    """

    def __init__(self, linux: Callable[[], LinuxSystem]) -> None:
        self._linux = linux

    @checked
    def modexpo(self, base: int, exponent: int, modulus: int, *, queue: AnyApqn | None = None) -> int:
        """``pow(base, exponent, modulus)``, computed by a card (ICARSAMODEXPO).

        Accelerators and CCA coprocessors do this, for a modulus of at most 4096 bits. OverflowError for a number that
        is negative or longer than the modulus.
        """
        length = (modulus.bit_length() + 7) // 8
        data, *key = (number.to_bytes(length, "big") for number in (base, exponent, modulus))
        with as_system_call():
            answer = self._linux().zcrypt.rsa(ModExpo(data, *key), queue=_name(queue))
        return int.from_bytes(answer, "big")

    @checked
    def rsa_private(self, base: int, key: RsaKey, *, queue: AnyApqn | None = None) -> int:
        """``pow(base, key.d, key.n)``, computed by a card from the key's Chinese-remainder form (ICARSACRT)."""
        with as_system_call():
            answer = self._linux().zcrypt.rsa(Question(key, base, crt=True).request(), queue=_name(queue))
        return int.from_bytes(answer, "big")

    @checked
    def cprb(
        self, control: bytes, data: bytes = b"", *, adapter: int | None = None, room: int = 8192, data_room: int = 0
    ) -> CcaReply:
        """Send a CPRBX with its parameter block to a CCA coprocessor (ZSECSENDCPRB).

        ``control`` begins with the 220 bytes of the CPRBX, whose domain field says where it goes (0xffff: anywhere);
        ``adapter`` is the only card to use. ``room`` and ``data_room`` limit the reply, in bytes. The
        reply's ``cprbx`` has return and reason code.
        """
        card = ANY_CARD if adapter is None else adapter
        with as_system_call():
            return self._linux().zcrypt.cprb(CcaRequest(control, data, card, room, data_room))

    @checked
    def ep11(self, cprb: bytes, *, targets: Iterable[AnyApqn] = (), room: int = 8192) -> bytes:
        """Send an EP11 CPRB with its payload (ZSENDEP11CPRB); returns the CPRB of the reply.

        ``targets`` are the queues that may answer, by default all. ``room`` limits the reply, in bytes.
        """
        apqns = tuple(map(as_apqn, targets))
        with as_system_call():
            return self._linux().zcrypt.ep11(Ep11Request(cprb, apqns, room))

    @checked
    def random(self, length: int) -> bytes:
        """Random bytes from a CCA coprocessor, as from ``/dev/hwrng``. ValueError for a negative ``length``."""
        if length < 0:
            raise ValueError(f"{length} random bytes cannot be had: give a length from 0 on")
        with as_system_call():
            return self._linux().hwrng.read(length)


def _name(queue: AnyApqn | None) -> str | None:
    return None if queue is None else str(as_apqn(queue))
