"""Administrators of one domain at the same time: parts are never mixed; each is told the truth."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import pytest

from apmatrix.arch import Apqn, KeySet, Mask
from apmatrix.cards import Action, KeyCommand
from apmatrix.cards.masterkeys import MasterKey
from apmatrix.emulation.errors import KeysRefused
from apmatrix.emulation.masterkeys import KeyManager
from apmatrix.emulation.turns import Turns
from apmatrix.service.client import connect, find_machine
from apmatrix.service.protocol.keys import ClearKey, LoadKey, SetKey
from support.running import running

MINE, YOURS = (bytes([1] * 32), bytes([2] * 32)), (bytes([4] * 32), bytes([8] * 32))
AES, WK = (KeySet.AES, Apqn(5, 6), 2), (KeySet.WK, Apqn(6, 6), 1)
BOTH = pytest.mark.parametrize(("key_set", "at", "parts"), [AES, WK], ids=["AES", "WK"])


@pytest.fixture
def machine(tmp_path, monkeypatch):
    monkeypatch.setenv("APMATRIX_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("APMATRIX_MACHINE", raising=False)
    with running() as emulation:
        yield emulation


class WatchedTurns(Turns):
    """Notes when an administrator begins to wait for a turn."""

    def __init__(self):
        super().__init__()
        self.asked = []

    @contextmanager
    def take(self, apqn):
        for asked in self.asked:
            asked.set()
        with super().take(apqn):
            yield


def after_first(monkeypatch, happens):
    """Call ``happens`` once, when the first part of a key has been loaded and the others have not."""
    send, waiting = KeyManager.send, [happens]

    def watched(self, command, adapter):
        state = send(self, command, adapter)
        if waiting and command.action in (Action.LOAD_FIRST, Action.IMPORT):
            waiting.pop()()
        return state

    monkeypatch.setattr(KeyManager, "send", watched)


def pattern(key_set, parts):
    return MasterKey.of_parts(key_set, parts).pattern.hex()


@BOTH
def test_clients_have_turns(machine, monkeypatch, key_set, at, parts):
    """The second client clears the register and loads its own parts while the first one is in the middle."""
    asked, turns = Event(), WatchedTurns()
    machine.turns = turns
    place = {"domains": Mask.of(at.domain), "adapters": Mask.of(at.adapter), "key_set": key_set.label}
    results = []

    def second():
        with connect(find_machine(None)) as client:
            client.ask(ClearKey(**place))
            client.ask(LoadKey(parts=YOURS[:parts], **place))
            (keys,) = client.ask(SetKey(**place)).done
            return keys

    def meanwhile():
        turns.asked.append(asked)
        results.append(pool.submit(second))
        assert asked.wait(30)

    after_first(monkeypatch, meanwhile)
    with ThreadPoolExecutor() as pool, connect(find_machine(None)) as client:
        mine = client.ask(LoadKey(parts=MINE[:parts], **place))
    assert mine.refused is None
    assert mine.done[0].registers[key_set.label]["new"].pattern == pattern(key_set, MINE[:parts])
    yours = results[0].result()
    assert yours.registers[key_set.label]["current"].pattern == pattern(key_set, YOURS[:parts])


def program(machine, key_set, at, *steps):
    """A program in the LPAR that sends commands of its own."""
    manager = KeyManager(machine, machine.lpars[0])
    for action, part in steps:
        manager.send(KeyCommand(action, key_set, at.domain, part), at.adapter)


@pytest.mark.parametrize(
    ("case", "steps", "message", "left"),
    [
        (AES, [(Action.LOAD_FIRST, YOURS[0])], "that is not of these parts", [YOURS[0], MINE[1]]),
        (AES, [(Action.LOAD_FIRST, YOURS[0]), (Action.LOAD_LAST, YOURS[1])], "so it is left as it is", YOURS),
        (WK, [(Action.IMPORT, YOURS[0])], "that is not of these parts", YOURS[:1]),
        (WK, [(Action.IMPORT, YOURS[0]), (Action.COMMIT, b"")], "so it is left as it is", YOURS[:1]),
    ],
    ids=["AES partial", "AES full", "WK imported", "WK committed"],
)
def test_the_key_of_a_program_in_between_is_reported_and_not_cleared(
    machine, monkeypatch, case, steps, message, left
):
    key_set, at, parts = case
    after_first(monkeypatch, lambda: program(machine, key_set, at, (Action.CLEAR, b""), *steps))
    manager = KeyManager(machine, machine.lpars[0])
    with pytest.raises(KeysRefused, match=message):
        manager.load(key_set, at, MINE[:parts])
    assert manager.query(key_set, at).new.pattern == pattern(key_set, left)
