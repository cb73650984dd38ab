"""Which queue gets a request, and how often it is tried (hardware.md 3.3, 5.2, 9.1)."""

from dataclasses import replace

import pytest

from apmatrix.arch import Apqn, Mask, Matrix
from apmatrix.cards import AdapterState
from apmatrix.linux.zcrypt import ModExpo
from support import ep11
from support.messages import vectors
from support.zcrypt import Crypto, cprb, ep11_cprb, outcome

MV = vectors()
AGAIN = bytes((0, 0x82, 0, 0, 0x10, 0, 0, 0))


def key(length):
    """A request that every card can answer."""
    return ModExpo(bytes(length - 1) + b"\2", bytes(length - 1) + b"\3", b"\xff" * length)


@pytest.fixture
def make():
    """Makes machines with these cards and domains, and a Linux on them."""
    made = []

    def one(cards, domains=(6,)):
        made.append(Crypto(cards, Matrix(Mask.of(*cards), Mask.of(*domains), Mask.of(*domains))))
        return made[-1]

    yield one
    for crypto in made:
        crypto.close()


@pytest.mark.parametrize(
    ("cards", "length", "chosen"),
    [
        ({2: "CEX8C", 3: "CEX8A"}, 128, "03.0006"),
        ({2: "CEX8C", 3: "CEX4A"}, 128, "02.0006"),  # both rated 14, and 02 comes first
        ({2: "CEX7C", 3: "CEX4A"}, 256, "02.0006"),
        ({2: "CEX4C", 3: "CEX4A"}, 512, "03.0006"),
        ({2: "CEX5A", 3: "CEX6A"}, 128, "03.0006"),
        ({2: "CEX8P", 3: "CEX4C"}, 128, "03.0006"),
        ({2: "CEX8A", 3: "CEX8C"}, 15, "02.0006"),
    ],
)
def test_the_fastest_card_is_chosen(make, cards, length, chosen):
    crypto = make(cards)
    crypto.zcrypt.rsa(key(length))
    assert crypto.wire.queues == [chosen]


@pytest.mark.parametrize(("length", "expected"), [(15, "ENODEV"), (16, "ok"), (512, "ok"), (513, "ENODEV")])
def test_modulus_sizes_of_a_coprocessor(make, length, expected):
    assert outcome(lambda: make({2: "CEX8C"}).zcrypt.rsa(key(length))) == expected


def test_equal_queues_take_turns(make):
    crypto = make({2: "CEX8A", 3: "CEX8A"}, (6, 0x33))
    for _ in range(8):
        crypto.zcrypt.rsa(key(128))
    assert sorted(crypto.wire.queues) == sorted(["02.0006", "02.0033", "03.0006", "03.0033"] * 2)
    # A queue of another card must have had fewer requests than the best of the first card.
    assert crypto.wire.queues[:4] == ["02.0006", "02.0033", "03.0006", "03.0033"]


def test_clearing_the_counter_attracts_requests(make):
    crypto = make({2: "CEX8A", 3: "CEX8A"})
    crypto.zcrypt.rsa(key(128), queue="03.0006")
    crypto.zcrypt.rsa(key(128), queue="02.0006")
    crypto.zcrypt.rsa(key(128), queue="02.0006")
    crypto.write("bus/ap/devices/card02/request_count", "0")
    crypto.zcrypt.rsa(key(128))
    assert crypto.wire.queues[-1] == "02.0006"


def test_load_counts_while_a_request_is_under_way(make):
    """An accelerator with work to do is dearer than a coprocessor with none."""
    crypto = make({2: "CEX8A", 3: "CEX8C"})
    loads = []

    def nested(depth):
        """Fetched when a queue has been chosen: time for the next request."""
        loads.append(tuple(int(crypto.read(f"bus/ap/devices/card0{card}/load")) for card in (2, 3)))
        if depth:
            crypto.zcrypt.rsa_when_chosen(128, lambda: nested(depth - 1), crt=False)
        return key(128)

    crypto.zcrypt.rsa_when_chosen(128, lambda: nested(2), crt=False)
    # The accelerator costs 6, the coprocessor 14, but Linux books the cost of the card that it looked at last: with
    # 14 on the accelerator the second request goes to the coprocessor.
    assert loads == [(14, 0), (14, 14), (28, 14)]
    assert crypto.wire.queues == ["02.0006", "03.0006", "02.0006"]  # the innermost is sent first
    assert [crypto.read(f"bus/ap/devices/{device}/load") for device in ("card02", "02.0006", "card03")] == ["0\n"] * 3


@pytest.mark.parametrize(("verb", "factor"), [(b"FQ", 10), (b"RL", 100), (b"KG", 500), (b"XX", 100)], ids=str)
def test_weights_of_cca_verbs(make, verb, factor):
    crypto = make({5: "CEX6C"})
    seen = []
    queue = crypto.system.ap.queues[Apqn(5, 6)]
    crypto.wire.always = MV["MV-23"]
    send = type(queue).send

    def spy(self, message):
        seen.append(self.load)
        send(self, message)

    type(queue).send = spy
    try:
        crypto.zcrypt.cprb(cprb(6, block=verb + b"\0\2\0\2\0\2"))
    finally:
        type(queue).send = send
    assert seen == [factor * 9]


@pytest.mark.parametrize("state", [AdapterState.DECONFIGURED, AdapterState.CHECKSTOPPED])
def test_a_card_that_goes_away_is_replaced(make, state):
    crypto = make({2: "CEX8A", 3: "CEX8C"})
    crypto.zcrypt.rsa(key(128))
    crypto.machine.set_adapter_state(2, state)
    crypto.system.scan()
    crypto.zcrypt.rsa(key(128))
    assert crypto.wire.queues == ["02.0006", "03.0006"]


def test_a_card_that_went_away_unnoticed(make):
    """The queue ends the request, and the next try goes to another queue."""
    crypto = make({2: "CEX8A", 3: "CEX8C"})
    crypto.zcrypt.rsa(key(128))
    crypto.machine.set_adapter_state(2, AdapterState.DECONFIGURED)
    assert crypto.zcrypt.rsa(key(128)) == bytes(127) + b"\x08"
    assert crypto.wire.queues == ["02.0006", "03.0006"]


@pytest.mark.parametrize("device", ["card02", "02.0006"])
def test_what_is_offline_gets_nothing(make, device):
    crypto = make({2: "CEX8A"})
    crypto.write(f"bus/ap/devices/{device}/online", "0")
    assert outcome(lambda: crypto.zcrypt.rsa(key(128))) == "ENODEV"
    crypto.write(f"bus/ap/devices/{device}/online", "1")
    assert outcome(lambda: crypto.zcrypt.rsa(key(128))) == "ok"


def test_a_card_that_appears_is_found_by_the_forced_scan(make):
    crypto = make({2: "CEX8A"})
    matrix = crypto.machine.lpars["lpar"].profile.matrix
    crypto.machine.set_profile("lpar", replace(matrix, apm=Mask.of(3)))
    crypto.system.scan()
    assert outcome(lambda: crypto.zcrypt.rsa(key(128))) == "ENODEV"
    crypto.machine.set_profile("lpar", matrix)
    assert outcome(lambda: crypto.zcrypt.rsa(key(128))) == "ok"


def test_after_a_scan_that_finds_the_same_configuration_nothing_is_tried_again(make):
    """Linux 7.2 asks whether QCI gives something else: an adapter that is configured again does not change that."""
    crypto = make({2: "CEX8A"})
    crypto.machine.set_adapter_state(2, AdapterState.DECONFIGURED)
    crypto.system.scan()
    crypto.machine.set_adapter_state(2, AdapterState.ONLINE)
    assert outcome(lambda: crypto.zcrypt.rsa(key(128))) == "ENODEV"
    assert outcome(lambda: crypto.zcrypt.rsa(key(128))) == "ok"


# trying again


def test_the_ninth_failure_is_forgiven(make):
    crypto = make({2: "CEX8A"})
    crypto.wire.answer(*[AGAIN] * 9)
    assert outcome(lambda: crypto.zcrypt.rsa(key(128))) == "ok"
    assert len(crypto.wire.sent) == 10


def test_another_card_is_preferred_for_the_next_try(make):
    crypto = make({2: "CEX8A", 3: "CEX4C"}, (6, 0x33))
    crypto.wire.answer(AGAIN, AGAIN, AGAIN)
    crypto.zcrypt.rsa(key(128))
    assert crypto.wire.queues == ["02.0006", "03.0006", "02.0033", "03.0033"]


def test_tries_are_counted_over_the_forced_scan(make):
    """Nine failures, then no queue: after the scan there is one more try, not ten."""
    crypto = make({2: "CEX8A"})
    crypto.zcrypt.rsa(key(128))
    crypto.wire.answer(*[AGAIN] * 8, bytes((0, 0x99, 0, 0, 0, 0, 0, 0)))
    scanner = crypto.system.ap.scanner
    scan = scanner.scan

    def scan_and_repair(joined):
        scan(joined)
        crypto.write("bus/ap/devices/02.0006/online", "1")
        return True

    scanner.scan = scan_and_repair
    crypto.wire.always = AGAIN
    assert outcome(lambda: crypto.zcrypt.rsa(key(128))) == "EIO"
    assert len(crypto.wire.sent) == 1 + 10


def test_the_next_try_of_a_cprb_knows_nothing_of_the_last(make):
    """Linux 7.2 forgets the queue of a CPRB, but not that of an EP11 request: only the latter goes elsewhere."""
    crypto = make({5: "CEX8C", 6: "CEX4C"}, (6, 0x33))
    crypto.wire.answer(AGAIN, AGAIN, AGAIN, MV["MV-23"])
    crypto.zcrypt.cprb(cprb(block=b"FQ\0\2\0\2\0\2"))
    assert crypto.wire.queues == ["05.0006", "05.0033", "05.0006", "05.0033"]
    crypto = make({10: "CEX8P", 11: "CEX4P"}, (6, 0x33))
    crypto.wire.answer(AGAIN, AGAIN)
    crypto.zcrypt.ep11(ep11_cprb())
    assert crypto.wire.queues == ["0a.0006", "0b.0006", "0a.0033"]


@pytest.mark.parametrize("code", [0x10, 0x90])
def test_administrative_requests_are_sent_once(make, code):
    crypto = make({5: "CEX8C", 10: "CEX8P"})
    crypto.wire.always = bytes((0, 0x82, 0, 0, code, 0, 0, 0))
    assert outcome(lambda: crypto.zcrypt.cprb(cprb(6, b"T5"))) == "EIO"
    assert outcome(lambda: crypto.zcrypt.ep11(ep11_cprb(flags=0x80, target=6))) == "EIO"
    assert crypto.wire.queues == ["05.0006", "0a.0006"]


def test_a_message_that_is_longer_than_a_card_takes(make):
    crypto = make({5: "CEX7C", 6: "CEX7C"})
    crypto.machine.adapters[6].message_limit = 5
    crypto.system.ap.cards[6].info = crypto.machine.adapters[6].info(0x54)
    crypto.wire.always = MV["MV-23"]
    data = bytes(16000)
    request = cprb(6)
    assert outcome(lambda: crypto.zcrypt.cprb(type(request)(request.control, data))) == "ok"
    assert crypto.wire.queues == ["06.0006"]
    assert outcome(lambda: crypto.zcrypt.cprb(type(request)(request.control, bytes(20480)))) == "EINVAL"


# EP11 targets


@pytest.mark.parametrize(
    ("targets", "chosen"),
    [
        (((0x0A, 0x33),), "0a.0033"),
        (((0xFFFF, 0x33),), "0a.0033"),
        (((0x0A, 0xFFFF),), "0a.0006"),
        (((0x0B, 0xFFFF), (0x0A, 0x33)), "0a.0033"),
        (((0x0B, 6),), None),
        (((5, 6),), None),
    ],
)
def test_ep11_targets(targets, chosen):
    crypto = Crypto()
    try:
        assert outcome(lambda: crypto.zcrypt.ep11(ep11_cprb(targets))) == ("ok" if chosen else "ENODEV")
        assert crypto.wire.queues == ([chosen] if chosen else [])
    finally:
        crypto.close()


def test_an_ep11_reply_reaches_its_program(make):
    crypto = make({10: "CEX8P"})
    reply = crypto.zcrypt.ep11(ep11_cprb())
    assert reply[32:34] == b"\x30\x82"
    assert ep11.word(1 << 16 | 38) in reply


def test_an_offline_ep11_queue_is_not_asked_about_its_keys(make):
    crypto = make({10: "CEX8P"})
    queue = "bus/ap/devices/0a.0006"
    assert crypto.read(f"{queue}/mkvps") != "WK CUR: - -\nWK NEW: - -\n"
    crypto.write(f"{queue}/online", "0")
    scans = crypto.read("bus/ap/scans")
    assert crypto.read(f"{queue}/mkvps") == "WK CUR: - -\nWK NEW: - -\n"
    assert crypto.read(f"{queue}/op_modes") == "\n"
    assert crypto.read("bus/ap/scans") == scans
