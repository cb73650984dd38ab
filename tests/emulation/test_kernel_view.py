"""What emulated Linux systems show of their cards: from the cards, by real messages, before and after key changes."""

import errno
import threading
from dataclasses import replace

import pytest

from apmatrix.arch import Apqn, KeySet
from apmatrix.cards import Action, Filter, Loss
from apmatrix.config import parse
from apmatrix.emulation import Emulation
from apmatrix.emulation.errors import KeysRefused
from apmatrix.emulation.masterkeys import KeyManager
from apmatrix.emulation.rsa import Question, RsaKey
from apmatrix.linux import Refused
from support.running import KEYS, await_boot

NESTED = KEYS.replace(
    'control_domains = "6,0x40"\n',
    'control_domains = "6,0x40"\n'
    '    [lpar.guest.host]\n    apmask = "-5,-6"\n'
    '    [[lpar.guest.guest]]\n    name = "inner"\n    adapters = "5,6"\n    domains = "6"\n',
)
PARTS = (bytes(range(32)), bytes(32))
OTHER_PARTS = (bytes(32), b"\x01" * 32)


@pytest.fixture
def emulation():
    with Emulation.start(parse(NESTED, "machine.toml")) as made:
        assert made.refusals == []
        for booted in made.systems():
            await_boot(booted.linux)
        yield made


def system(emulation, name):
    return next(found for found in emulation.systems() if found.name == name)


def read(emulation, name, path):
    return system(emulation, name).shell.read(f"bus/ap/devices/{path}")


def patterns(emulation, name, queue):
    """``mkvps`` as a dictionary."""
    lines = read(emulation, name, f"{queue}/mkvps").splitlines()
    return {key: tuple(value.split()) for key, _, value in (line.partition(": ") for line in lines)}


def change(emulation, key_set, apqn, parts):
    manager = KeyManager(emulation, emulation.lpars[0])
    loaded = manager.load(key_set, apqn, parts)
    return loaded.new.pattern, manager.set(key_set, apqn)


@pytest.mark.parametrize(
    ("name", "domain"), [("kvm1", 4), ("kvm1/guest1/inner", 6), ("kvm1/guest2", 7)], ids=["lpar", "nested", "guest"]
)
def test_a_key_change_in_the_lpar_is_seen_wherever_the_queue_is(emulation, name, domain):
    zero = f"0x{bytes(8).hex()}"
    queue = f"05.{domain:04x}"
    assert patterns(emulation, name, queue)["AES CUR"] == ("invalid", zero)
    first, _ = change(emulation, KeySet.AES, Apqn(5, domain), PARTS)
    second, _ = change(emulation, KeySet.AES, Apqn(5, domain), OTHER_PARTS)
    assert first != second
    seen = patterns(emulation, name, queue)
    assert seen["AES NEW"] == ("empty", zero)
    assert seen["AES CUR"] == ("valid", f"0x{second}")
    assert seen["AES OLD"] == ("valid", f"0x{first}")
    assert {state for label, (state, _) in seen.items() if not label.startswith("AES")} == {"empty", "invalid"}


@pytest.mark.parametrize(("name", "domain"), [("kvm1", 5), ("kvm1/guest1/inner", 6)])
def test_a_wrapping_key_too(emulation, name, domain):
    queue = f"06.{domain:04x}"
    manager = KeyManager(emulation, emulation.lpars[0])
    assert patterns(emulation, name, queue) == {"WK CUR": ("invalid", "-"), "WK NEW": ("empty", "-")}
    new = manager.load(KeySet.WK, Apqn(6, domain), PARTS[:1]).new.pattern
    assert patterns(emulation, name, queue)["WK NEW"] == ("committed", f"0x{new}")
    manager.set(KeySet.WK, Apqn(6, domain))
    assert patterns(emulation, name, queue) == {"WK CUR": ("valid", f"0x{new}"), "WK NEW": ("empty", "-")}


def test_a_partial_key_shows_no_pattern(emulation):
    KeyManager(emulation, emulation.lpars[0]).step(Action.LOAD_FIRST, KeySet.AES, Apqn(5, 4), PARTS[0])
    assert patterns(emulation, "kvm1", "05.0004")["AES NEW"] == ("partial", f"0x{bytes(8).hex()}")


def test_cards_keep_their_serial_numbers(emulation):
    """Every system that has the card sees the same, whatever happens to the keys; two cards have two."""

    def serials():
        return [
            read(emulation, name, f"card0{number}/serialnr")
            for name in ("kvm1", "kvm1/guest1/inner", "kvm1/guest2")
            for number in (5, 6)
        ]

    before = serials()
    assert before[:2] * 3 == before
    assert len(set(before)) == 2
    change(emulation, KeySet.AES, Apqn(5, 4), PARTS)
    change(emulation, KeySet.WK, Apqn(6, 4), PARTS[:1])
    assert serials() == before


def test_ep11_cards_tell_about_themselves(emulation):
    for name in ("kvm1", "kvm1/guest2"):
        told = [read(emulation, name, f"card06/{attribute}") for attribute in ("API_ordinalnr", "FW_version")]
        assert told == ["6", "6.1"]
        assert read(emulation, name, "card06/op_modes").split() == ["FIPS2011"]


class Weigher(Filter):
    """Notes the load that a system shows while a request is on its way."""

    def __init__(self, shell, *paths):
        self.shell, self.paths, self.seen = shell, paths, []

    def request(self, queue, handling):
        self.seen.append(tuple(self.shell.read(f"bus/ap/devices/{path}/load") for path in self.paths))
        return handling


def test_load_is_there_while_a_request_is_and_counts_stay(emulation):
    kvm1 = emulation.lpars[0]
    paths = ("card05", "05.0004", "05.0005")
    weigher = Weigher(kvm1.shell, *paths)
    counts = [int(read(emulation, "kvm1", f"{path}/request_count")) for path in paths]
    emulation.machine.adapters[5].filters.add(weigher)
    KeyManager(emulation, kvm1, carrier=5).query(KeySet.AES, Apqn(5, 0x40))
    ((card, idle, busy),) = weigher.seen
    assert (int(idle), int(card) > 0, busy) == (0, True, card)
    assert [read(emulation, "kvm1", f"{path}/load") for path in paths] == ["0", "0", "0"]
    now = [int(read(emulation, "kvm1", f"{path}/request_count")) for path in paths]
    assert [after - before for before, after in zip(counts, now, strict=True)] == [1, 0, 1]


def test_what_a_guest_asks_is_counted_in_the_guest_only(emulation):
    before = {name: read(emulation, name, "card05/request_count") for name in ("kvm1", "kvm1/guest2")}
    patterns(emulation, "kvm1/guest2", "05.0007")
    assert read(emulation, "kvm1", "card05/request_count") == before["kvm1"]
    assert int(read(emulation, "kvm1/guest2", "card05/request_count")) == int(before["kvm1/guest2"]) + 2


def test_random_numbers_come_from_a_cca_card(emulation):
    kvm1 = emulation.lpars[0]
    before = int(read(emulation, "kvm1", "card05/request_count"))
    assert len(set(kvm1.linux.hwrng.read(8192))) > 16
    assert int(read(emulation, "kvm1", "card05/request_count")) > before


class Ending(Filter):
    """Loses a request and has its system shut down, which is possible as soon as that waits for the reply."""

    def __init__(self, linux):
        self.end = threading.Thread(target=linux.shut_down)

    def request(self, queue, handling):
        self.end.start()
        return replace(handling, loss=Loss.HELD)


def test_nobody_waits_for_a_system_that_has_ended(emulation):
    """A guest stops, or a real kernel takes its level: requests end with ENODEV, before and after."""
    guest = system(emulation, "kvm1/guest2")
    emulation.machine.adapters[5].filters.add(Ending(guest.linux))
    request = Question.random(RsaKey.generate(1024), crt=False).request()
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            guest.linux.zcrypt.rsa(request, queue="05.0007")
        assert refused.value.errno == errno.ENODEV
    with pytest.raises(KeysRefused, match="kvm1/guest2 uses no queue of a coprocessor 5"):
        KeyManager(emulation, guest).query(KeySet.AES, Apqn(5, 7))
    scans = guest.linux.ap.scanner.count
    guest.linux.scan()
    assert guest.linux.ap.scanner.count == scans


class Garbled(Filter):
    """Answers STATICSA with a serial number that is no text."""

    def reply(self, queue, request, reply):
        return reply.replace(b"93AABA05", b"93AABA\xff\xfe")


def test_a_serial_number_is_shown_whatever_its_bytes_are(emulation):
    emulation.machine.adapters[5].filters.add(Garbled())
    assert read(emulation, "kvm1", "card05/serialnr") == "93AABA\xff\xfe"
