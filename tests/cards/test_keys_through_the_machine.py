"""Administrative commands by NQAP and DQAP at several levels: the effective control domains decide."""

import pytest

from apmatrix.arch import Apqn, CardType, CrycbFormat, KeySet, Mask, Matrix, ResponseCode
from apmatrix.cards import Action, CardContext, KeyCommand, ManualClock, WrappingKey
from apmatrix.cards.requests import RequestError
from apmatrix.machine import ActivationProfile, Cpc


class ThreeLevels:
    """A CPC with one CCA card, an LPAR that controls 6, 7 and 0x40, and guests three levels deep."""

    def __init__(self, features=("APSC", "APXA")):
        self.machine = Cpc(clock=ManualClock(), features=features)
        wrapping_key = WrappingKey()
        for number, card in ((5, "CEX8C"), (6, "CEX8P")):
            context = CardContext.of(number, wrapping_key=wrapping_key)
            self.machine.add_adapter(number, CardType.parse(card), context=context)
        matrix = Matrix(Mask.of(5, 6), Mask.of(6, 7), Mask.of(6, 7, 0x40))
        self.lpar = self.machine.add_lpar(ActivationProfile("kvm1", matrix)).level
        self.guest = self.child(self.lpar, "guest", Mask.of(6, 0x40, 0x41))
        self.nested = self.child(self.guest, "nested", Mask.of(7, 0x40))

    @staticmethod
    def child(parent, name, control_domains):
        level = parent.child(name, CrycbFormat.FORMAT_2)
        level.set_matrix(Matrix(Mask.of(5, 6), Mask.of(6), control_domains))
        return level

    def send(self, level, command, adapter=5):
        port = self.machine.port(level, Apqn(adapter, 6))
        status = port.nqap(1, command.message(6))
        if not status.ok:
            return status.response_code
        assert self.machine.adapters[adapter].queue(6).wait()
        return command.result(port.dqap(12288).data)

    def loaded(self):
        keyring = self.machine.adapters[5].context.keyring
        return [domain for domain in range(256) if keyring.registers(domain, KeySet.AES).new]


@pytest.fixture
def levels():
    made = ThreeLevels()
    yield made
    made.machine.close()


def load(domain):
    return KeyCommand(Action.LOAD_FIRST, KeySet.AES, domain, bytes(range(32)))


@pytest.mark.parametrize(("level", "allowed"), [("lpar", {6, 7, 0x40}), ("guest", {6, 0x40}), ("nested", {0x40})])
def test_effective_control_domains_decide(levels, level, allowed):
    for domain in (6, 7, 0x40, 0x41, 0x42):
        answer = levels.send(getattr(levels, level), load(domain))
        if domain in allowed:
            assert answer.new[0] == "partial"
        else:
            assert answer is ResponseCode.INVALID_DOMAIN
    assert set(levels.loaded()) == allowed


def test_reply_8a_where_the_machine_offers_it():
    levels = ThreeLevels(features=("APSC", "APXA", "RC8A"))
    with pytest.raises(RequestError, match="reply code 8a"):
        levels.send(levels.guest, load(7))
    assert levels.loaded() == []
    levels.machine.close()


def test_profile_edited_while_it_runs_counts_at_once(levels):
    assert levels.send(levels.guest, load(0x40)).new[0] == "partial"
    levels.machine.set_profile("kvm1", Matrix(Mask.of(5, 6), Mask.of(6, 7), Mask.of(6, 7)))
    clear = KeyCommand(Action.CLEAR, KeySet.AES, 0x40)
    assert levels.send(levels.guest, clear) is ResponseCode.INVALID_DOMAIN
    assert levels.loaded() == [0x40]


def test_wrapping_key_of_ep11_from_a_guest(levels):
    for action, key in ((Action.IMPORT, bytes(32)), (Action.COMMIT, b""), (Action.FINALIZE, b"")):
        view = levels.send(levels.guest, KeyCommand(action, KeySet.WK, 0x40, key), adapter=6)
    assert view.current[0] == "valid"
    refused = levels.send(levels.guest, KeyCommand(Action.QUERY, KeySet.WK, 7), adapter=6)
    assert refused is ResponseCode.INVALID_DOMAIN
