"""Administers the master keys of domains from a Linux system, with commands through its zcrypt (docs/keys.md)."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from apmatrix.arch import SETS_OF, ApmatrixError, Apqn, KeySet, Mask, Mode
from apmatrix.cards import Action, KeyCommand
from apmatrix.cards.administration import AdministrationError, RegisterView
from apmatrix.cards.masterkeys import MasterKey
from apmatrix.emulation.errors import KeysRefused
from apmatrix.emulation.programs import Program
from apmatrix.emulation.refusal import machine_refusal
from apmatrix.linux import Refused
from apmatrix.linux.zcrypt import CcaRequest, Ep11Request
from apmatrix.linux.zcrypt.cprb import ANY
from apmatrix.rules.keyparts import wrong_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from apmatrix.arch import CardType
    from apmatrix.emulation.bringup import Emulation, System
    from apmatrix.machine import Level

_SHOWN: Final = frozenset(("full", "valid", "uncommitted", "committed"))
_MKVPS: Final = {"NEW": 0, "CUR": 1, "OLD": 2}


class Register(NamedTuple):
    """The public part of a register: its state, and the verification pattern if it has one to show."""

    state: str
    pattern: str | None = None

    @classmethod
    def of(cls, state: str, pattern: bytes) -> Register:
        """A register, with the pattern only in states that have one."""
        return cls(state, pattern.hex() if state in _SHOWN else None)


@dataclass(frozen=True, slots=True)
class SetState:
    """The registers of one set: new, current and, in CCA domains, old."""

    key_set: KeySet
    new: Register
    current: Register
    old: Register | None = None

    @classmethod
    def of(cls, key_set: KeySet, view: RegisterView) -> SetState:
        """The state that the answer to a command reports."""
        old = None if view.old is None else Register.of(*view.old)
        return cls(key_set, Register.of(*view.new), Register.of(*view.current), old)

    @property
    def empty(self) -> bool:
        """True if there is no key at all."""
        return self.new.state == "empty" and all(
            register is None or register.state == "invalid" for register in (self.current, self.old)
        )


@dataclass(frozen=True, slots=True)
class DomainKeys:
    """The master keys of one domain of a card.

    ``controllers`` are the levels that may change them, from the LPAR down; ``controlled`` is true if the system that
    asked is one of them.
    """

    apqn: Apqn
    type: str
    controlled: bool
    controllers: tuple[str, ...]
    sets: tuple[SetState, ...]


class KeyManager:
    """Administers master keys from one Linux system, with only the rights of its level.

    ``carrier`` is the usage domain whose queue takes the commands to the card; by default zcrypt chooses one.
    """

    def __init__(self, emulation: Emulation, system: System, carrier: int | None = None) -> None:
        self._emulation = emulation
        self._system = system
        self._carrier = carrier
        self._used: dict[int, Mask] = {}  # by adapter: domains of the queues of the system's own driver
        for apqn in Program(system).queues(Mode.CCA, Mode.EP11):
            self._used[apqn.adapter] = self._used.get(apqn.adapter, Mask()) | Mask.of(apqn.domain)

    def adapters(self, *modes: Mode) -> Mask:
        """The coprocessors of these modes that commands can be sent to."""
        return Mask.of(*(adapter for adapter in self._used if self._mode(adapter) in modes))

    def send(self, command: KeyCommand, adapter: int) -> SetState | None:
        """Send one command to a card; returns the registers afterwards, or None after zeroizing.

        Raises KeysRefused, or AdministrationError if the card itself refuses.
        """
        view = command.control_result(self._answer(command, adapter))
        return None if view is None else SetState.of(command.key_set, view)

    def _answer(self, command: KeyCommand, adapter: int) -> bytes:
        """The control block of the card's answer; KeysRefused if the command does not reach the card."""
        self._check(command, adapter)
        zcrypt = self._system.linux.zcrypt
        carrier = ANY if self._carrier is None else self._carrier
        try:
            if command.mode is Mode.CCA:
                return zcrypt.cprb(CcaRequest(command.control(carrier), card=adapter)).control
            return zcrypt.ep11(Ep11Request(command.control(command.domain), ((adapter, carrier),)))
        except Refused as refused:
            raise self._refusal(command, Apqn(adapter, command.domain), refused) from refused

    def load(self, key_set: KeySet, apqn: Apqn, parts: Sequence[bytes]) -> SetState:
        """Load a whole key into the new register: all parts in order, or the one key of an EP11 domain.

        Nothing is sent if a part has the wrong length, and parts that were loaded before a refusal are cleared again.
        KeysRefused as :meth:`send`, and if the register has another key afterwards, because a program sent commands
        of its own in between.
        """
        first, *others = _loading(key_set, parts)
        for part in parts:
            _check_length(key_set, part)
        with self.turn(apqn):
            loaded = self.steps(key_set, apqn, [first])
            try:
                for step in others:
                    loaded = self.steps(key_set, apqn, [step])
            except ApmatrixError as refused:
                raise KeysRefused(f"{refused}; {self._take_back(key_set, apqn, loaded)}", apqn) from refused
        if loaded.new.pattern != MasterKey.of_parts(key_set, parts).pattern.hex():
            raise KeysRefused(
                f"{apqn}: its new {key_set.label} register has a key that is not of these parts, because a program "
                f"changed the register meanwhile: apmatrix key clear {key_set.label.lower()} empties it",
                apqn,
            )
        return loaded

    def turn(self, apqn: Apqn) -> AbstractContextManager[None]:
        """Keep the other administrators of a domain waiting, for commands that belong together."""
        return self._emulation.turns.take(apqn)

    def _take_back(self, key_set: KeySet, apqn: Apqn, loaded: SetState) -> str:
        """Empty the new register if it still has what was ``loaded``; returns what to report about that."""
        try:
            if self.query(key_set, apqn).new != loaded.new:
                return "a program changed the register meanwhile, so it is left as it is"
            self.clear(key_set, apqn)
        except ApmatrixError:
            remedy = f"apmatrix key clear {key_set.label.lower()} empties the register"
            return f"a part of the key is already loaded: {remedy}"
        return "what was loaded before has been cleared again"

    def step(self, action: Action, key_set: KeySet, apqn: Apqn, part: bytes = b"") -> SetState:
        """Do one step of loading, with the part that it needs."""
        return self.steps(key_set, apqn, [(action, part)])

    def set(self, key_set: KeySet, apqn: Apqn) -> SetState:
        """Make the new key the current one; a wrapping key that is not committed yet is committed first."""
        if key_set is not KeySet.WK:
            return self.steps(key_set, apqn, [(Action.SET, b"")])
        with self.turn(apqn):
            found = self.query(key_set, apqn)
            before = [(Action.COMMIT, b"")] if found.new.state == "uncommitted" else []
            return self.steps(key_set, apqn, [*before, (Action.FINALIZE, b"")])

    def reencipher(self, apqn: Apqn, blob: bytes) -> bytes:
        """An EP11 key blob under the new wrapping key, which must be committed; valid when that key is set.

        KeysRefused as :meth:`send`, and if the card cannot open the blob.
        """
        command = KeyCommand(Action.REENCIPHER, KeySet.WK, apqn.domain, blob)
        try:
            return command.reenciphered(self._answer(command, apqn.adapter))
        except AdministrationError as refused:
            state = self.query(KeySet.WK, apqn).new.state
            remedy = "" if state == "committed" else ": load and commit the new wrapping key first"
            raise KeysRefused(f"{apqn}: {refused}; its new WK register is {state}{remedy}", apqn) from refused

    def clear(self, key_set: KeySet, apqn: Apqn) -> SetState:
        """Empty the new register; returns the state of the set."""
        return self.steps(key_set, apqn, [(Action.CLEAR, b"")])

    def query(self, key_set: KeySet, apqn: Apqn) -> SetState:
        """The registers of one set."""
        return self.steps(key_set, apqn, [(Action.QUERY, b"")])

    def zeroize(self, apqn: Apqn, *, card: bool) -> None:
        """Empty all registers of the domain, or of all domains of the card."""
        key_set = SETS_OF[self._mode(apqn.adapter)][0]
        action = Action.ZEROIZE_CARD if card else Action.ZEROIZE_DOMAIN
        with self.turn(apqn):
            self.send(KeyCommand(action, key_set, apqn.domain), apqn.adapter)

    def steps(self, key_set: KeySet, apqn: Apqn, steps: Sequence[tuple[Action, bytes]]) -> SetState:
        """Send commands one after the other, up to the first that is refused."""
        for _, part in steps:
            _check_length(key_set, part)
        state: SetState | None = None
        with self.turn(apqn):
            try:
                for action, part in steps:
                    state = self.send(KeyCommand(action, key_set, apqn.domain, part), apqn.adapter)
            except AdministrationError as refused:
                now = self.send(KeyCommand(Action.QUERY, key_set, apqn.domain), apqn.adapter)
                assert now is not None
                text = f"{apqn}: {refused}; its new {key_set.label} register is {now.new.state}"
                raise KeysRefused(text, apqn) from refused
        assert state is not None
        return state

    def look(self, adapters: Mask | None = None, domains: Mask | None = None) -> Iterator[DomainKeys]:
        """The keys of the domains that the system controls or uses, or of those that are named.

        Control domains are queried with commands, the others are read from the ``mkvps`` of their queues. Raises
        KeysRefused for a named domain that is neither controlled nor used.
        """
        controlled = self._system.linux.ap.info.adm
        for adapter in sorted(self._used) if adapters is None else adapters:
            self._mode(adapter)
            used = self._used[adapter]
            for domain in (controlled | used) if domains is None else domains:
                apqn = Apqn(adapter, domain)
                by_command = domain in controlled or domain not in used
                yield self.domain(apqn, self._asked(apqn) if by_command else self._read(apqn))

    def domain(self, apqn: Apqn, sets: Sequence[SetState]) -> DomainKeys:
        """``sets`` with the levels that may change them."""
        return DomainKeys(
            apqn,
            str(self._type(apqn.adapter)),
            apqn.domain in self._system.linux.ap.info.adm,
            controllers(self._emulation, apqn),
            tuple(sets),
        )

    def register_of(self, key_set: KeySet, apqn: Apqn, pattern: bytes) -> str | None:
        """Which register of a used queue has the key with ``pattern``: current, old, new, or None if no one has."""
        state = next((each for each in self._read(apqn) if each.key_set is key_set), None)
        for name in ("current", "old", "new"):
            register: Register | None = getattr(state, name, None)
            if register is not None and (register.pattern or "").startswith(pattern.hex()):
                return name
        return None

    def _asked(self, apqn: Apqn) -> tuple[SetState, ...]:
        return tuple(self.query(key_set, apqn) for key_set in SETS_OF[self._mode(apqn.adapter)])

    def _read(self, apqn: Apqn) -> tuple[SetState, ...]:
        """Read the sets from ``mkvps``, with lines such as ``AES CUR: valid 0x0102030405060708``."""
        lines = self._system.shell.read(f"bus/ap/devices/{apqn}/mkvps").splitlines()
        registers: dict[str, dict[int, Register]] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            label, _, which = name.partition(" ")
            state, _, pattern = value.partition(" ")
            content = bytes.fromhex(pattern.removeprefix("0x")) if pattern.startswith("0x") else b""
            registers.setdefault(label, {})[_MKVPS[which]] = Register.of(state, content)
        return tuple(
            SetState(key_set, found[0], found[1], found.get(2))
            for key_set in SETS_OF[self._mode(apqn.adapter)]
            if (found := registers.get(key_set.label))
        )

    def _mode(self, adapter: int) -> Mode:
        """The mode of a reachable coprocessor; KeysRefused for any other adapter."""
        if adapter not in self._used:
            raise KeysRefused(
                f"{self._system.name} uses no queue of a coprocessor {adapter}: "
                + (f"it uses those of {Mask.of(*self._used).ranges()}" if self._used else "it uses none at all")
            )
        return self._type(adapter).mode

    def _type(self, adapter: int) -> CardType:
        return self._emulation.machine.adapters[adapter].card_type

    def _check(self, command: KeyCommand, adapter: int) -> None:
        """Raise KeysRefused if the system cannot send the command to the card."""
        mode = self._mode(adapter)
        if mode is not command.mode:
            sets = ", ".join(key_set.label for key_set in SETS_OF[mode])
            raise KeysRefused(
                f"adapter {adapter} is a {self._type(adapter)}: it has no {command.key_set.label} master key, "
                f"but {sets}"
            )
        if self._carrier is not None and self._carrier not in self._used[adapter]:
            raise KeysRefused(
                f"{self._system.name} does not use queue {Apqn(adapter, self._carrier)}, so no command can go "
                f"through it: of adapter {adapter} it uses domain {self._used[adapter].ranges()}"
            )

    def _refusal(self, command: KeyCommand, apqn: Apqn, refused: Refused) -> KeysRefused:
        """The meaning of the kernel's errno: the architecture's code where the control domain is missing."""
        info = self._system.linux.ap.info
        if refused.errno != errno.EINVAL or command.domain in info.adm:
            action = f"{command.action.value} of {command.key_set.label} in {apqn}"
            return KeysRefused(str(machine_refusal(self._system.name, action, refused)), apqn)
        code = "reply code 8A" if info.rc8a else "response code 42"
        others = controllers(self._emulation, apqn)
        remedy = f"it can be done from {', '.join(others)}" if others else "no running system controls it"
        return KeysRefused(
            f"{self._system.name}: {command.action.value} of the {command.key_set.label} master key in {apqn} was "
            f"refused with {code}: domain {command.domain} is not among the control domains "
            f"{info.adm.ranges() or '(it has none)'}: {remedy}",
            apqn,
        )


def controllers(emulation: Emulation, apqn: Apqn) -> tuple[str, ...]:
    """The levels that may administer a domain of an adapter that they reach, by their names from the LPAR down."""
    return tuple(
        name
        for lpar in tuple(emulation.machine.lpars.values())
        for name, level in _levels(lpar.level, lpar.name)
        if apqn.adapter in level.effective.apm and apqn.domain in level.effective.adm
    )


def _levels(level: Level, name: str) -> Iterator[tuple[str, Level]]:
    yield name, level
    for child in tuple(level.children):
        yield from _levels(child, f"{name}/{child.name}")


def _loading(key_set: KeySet, parts: Sequence[bytes]) -> list[tuple[Action, bytes]]:
    """The steps that load all parts of a key."""
    if wrong := wrong_count(key_set, len(parts)):
        one_by_one = "" if key_set is KeySet.WK else ": to load a single one, name the step"
        raise KeysRefused(f"{wrong}{one_by_one}")
    if key_set is KeySet.WK:
        return [(Action.IMPORT, parts[0]), (Action.COMMIT, b"")]
    middle = [(Action.LOAD_MIDDLE, part) for part in parts[1:-1]]
    return [(Action.LOAD_FIRST, parts[0]), *middle, (Action.LOAD_LAST, parts[-1])]


def _check_length(key_set: KeySet, part: bytes) -> None:
    if part and len(part) != key_set.key_size:
        raise KeysRefused(f"a part of the {key_set.label} master key has {key_set.key_size} bytes, not {len(part)}")
