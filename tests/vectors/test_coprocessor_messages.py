"""Message vectors MV-9 to MV-18 of hardware.md 8.3.

The patterns in MV-12, MV-13, MV-15 and MV-17 are made up, so the cards get master keys that claim them.
"""

from datetime import UTC, datetime

import pytest

from apmatrix.arch import KeySet
from apmatrix.cards import CardContext
from apmatrix.cards.keyring import Keyring
from apmatrix.cards.masterkeys import KeyRegisters, MasterKey
from apmatrix.cards.vault import MemoryStore
from support import cca, ep11
from support.messages import vectors
from support.queues import exchange, make_adapter

MV = vectors()
PATTERNS = {
    KeySet.ASYM: bytes(range(0x10, 0x20)),
    KeySet.AES: bytes(range(1, 9)),
    KeySet.APKA: bytes(range(0x11, 0x19)),
    KeySet.WK: bytes(range(0x20, 0x40)),
}


def always(registers):
    """A change of registers into these, whatever they were."""
    return lambda _: registers


def adapter(card, serial):
    keyring = Keyring("card", MemoryStore())
    for key_set, pattern in PATTERNS.items():
        claimed = KeyRegisters(key_set, current=MasterKey(bytes(range(32)), pattern))
        keyring.change(6, key_set, always(claimed))
    context = CardContext(serial, keyring, domains=0x55, calendar=lambda: datetime(2026, 11, 22, tzinfo=UTC))
    return make_adapter(card, context=context)


@pytest.fixture
def cca_card():
    return adapter("CEX8C", "93AABA10")


@pytest.fixture
def ep11_card():
    return adapter("CEX8P", "93AABA11")


def test_mv9_mv10_random_numbers(cca_card):
    reply = exchange(cca_card, MV["MV-9"])
    assert reply[:276] == MV["MV-10"][:276]
    assert len(reply) == len(MV["MV-10"])
    assert len(set(reply[276:])) > 200


def test_mv11_mv12_facility_query_staticsa(cca_card):
    assert exchange(cca_card, MV["MV-11"]) == MV["MV-12"]


def test_mv11_mv13_facility_query_staticsb(cca_card):
    assert exchange(cca_card, MV["MV-11"].replace(b"STATICSA", b"STATICSB")) == MV["MV-13"]


def test_mv14_mv15_key_generate(cca_card):
    reply = exchange(cca_card, MV["MV-14"])
    wrapped, check = slice(280 + 16, 280 + 48), slice(280 + 60, 280 + 64)
    assert MV["MV-15"][wrapped].startswith(bytes.fromhex("e0e1e2"))
    assert len(reply) == len(MV["MV-15"])
    masked, expected = bytearray(reply), bytearray(MV["MV-15"])
    for part in (wrapped, check):
        masked[part] = expected[part] = bytes(len(expected[part]))
    assert masked == expected
    assert reply[wrapped] != exchange(cca_card, MV["MV-14"])[wrapped]


def test_mv15_check_value_is_the_sum_of_the_words():
    token = MV["MV-15"][280:344]
    assert token[:5] == bytes.fromhex("0100000004")
    words = [int.from_bytes(token[start : start + 4], "big") for start in range(0, 64, 4)]
    assert sum(words[:15]) % 2**32 == words[15]


def test_mv16_mv17_domain_query(ep11_card):
    assert exchange(ep11_card, MV["MV-16"]) == MV["MV-17"]


def test_mv18_card_query(ep11_card):
    request = ep11.request(38, (ep11.word(1), ep11.word(0)))
    assert exchange(ep11_card, request) == MV["MV-18"]


def test_builders_build_what_linux_builds():
    assert ep11.request(38, (ep11.word(3), ep11.word(0))) == MV["MV-16"]
    words = b"OP      KEYLN32 AESDATA " + bytes(8)
    parameters = cca.parameters(b"KG", [], words, cca.KEY_SKELETON_PARTS)
    assert cca.request(parameters) == MV["MV-14"]
