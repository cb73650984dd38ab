"""Makes and tries secure keys through the queues of a Linux system, as programs in it do (docs/keys.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from apmatrix.arch import Apqn, Mask, Mode
from apmatrix.arch.matrix import listed
from apmatrix.cards.securekeys import KeyKind, SecureKey, SecureKeyError, generate, generated
from apmatrix.emulation.errors import KeysRefused
from apmatrix.emulation.programs import Program
from apmatrix.emulation.refusal import machine_refusal
from apmatrix.linux import Refused
from apmatrix.linux.zcrypt import CcaRequest, Ep11Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from apmatrix.emulation.bringup import System
    from apmatrix.emulation.masterkeys import KeyManager

_USUAL: Final = {Mode.CCA: KeyKind.AESDATA, Mode.EP11: KeyKind.EP11}


class Opener(NamedTuple):
    """A queue that has the master key of a secure key, and where: current, old or (not usable yet) new."""

    apqn: Apqn
    register: str


class KeyUser:
    """A program in one system that makes secure keys and uses them; only the system's own queues serve it."""

    def __init__(self, system: System) -> None:
        self._system = system
        program = Program(system)
        self._modes = {apqn: mode for mode in (Mode.CCA, Mode.EP11) for apqn in program.queues(mode)}

    def fitting(self, adapters: Mask | None, domain: int, kind: KeyKind | None) -> Mask:
        """The adapters, of these or of all, whose queue of ``domain`` makes keys of ``kind``; KeysRefused if none."""
        used = {apqn: mode for apqn, mode in self._modes.items() if adapters is None or apqn.adapter in adapters}
        wanted = None if kind is None else kind.key_set.mode
        found = Mask.of(
            *(apqn.adapter for apqn, mode in used.items() if apqn.domain == domain and wanted in (None, mode))
        )
        if not found:
            what = "a coprocessor" if kind is None else f"a coprocessor for {kind.value}"
            raise KeysRefused(
                f"{self._system.name} uses no queue of {what} in domain {domain}: the coprocessors' queues that it "
                f"uses are {listed(used) or 'none'}"
            )
        return found

    def make(self, apqn: Apqn, kind: KeyKind | None, bits: int) -> bytes:
        """A new random key, as zkey keeps it, of the mode's usual kind if none is named.

        KeysRefused as Linux or the card refuses.
        """
        kind = kind or _USUAL[self._modes[apqn]]
        try:
            return generated(kind, bits, self._send(kind, apqn, generate(kind, bits, apqn.domain)))
        except SecureKeyError as refused:
            raise KeysRefused(f"{apqn} {refused}", apqn) from refused

    def queues(self, adapters: Mask | None, domains: Mask | None) -> tuple[Apqn, ...]:
        """The coprocessors' queues that the system uses, or those of them that are named."""
        return tuple(
            apqn
            for apqn in self._modes
            if (adapters is None or apqn.adapter in adapters) and (domains is None or apqn.domain in domains)
        )

    def openers(self, key: SecureKey, manager: KeyManager, queues: Iterable[Apqn]) -> Iterator[Opener]:
        """Those of ``queues`` that have the master key of ``key``.

        KeysRefused if a card that has it in its current or old register does not open the key.
        """
        key_set = key.kind.key_set
        for apqn in queues:
            if self._modes[apqn] is key_set.mode and (register := manager.register_of(key_set, apqn, key.pattern)):
                if register != "new":
                    self._try(key, apqn)
                yield Opener(apqn, register)

    def _try(self, key: SecureKey, apqn: Apqn) -> None:
        try:
            key.check_use(self._send(key.kind, apqn, key.use(apqn.domain)))
        except SecureKeyError as refused:
            raise KeysRefused(f"{apqn} {refused}", apqn) from refused

    def _send(self, kind: KeyKind, apqn: Apqn, control: bytes) -> bytes:
        zcrypt = self._system.linux.zcrypt
        try:
            if kind is KeyKind.EP11:
                return zcrypt.ep11(Ep11Request(control, ((apqn.adapter, apqn.domain),)))
            return zcrypt.cprb(CcaRequest(control, card=apqn.adapter)).control
        except Refused as refused:
            raise KeysRefused(
                str(machine_refusal(self._system.name, f"request to {apqn}", refused)), apqn
            ) from refused
