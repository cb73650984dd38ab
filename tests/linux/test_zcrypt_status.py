"""The status ioctls, and the counts of open nodes (hardware.md 5.2)."""

import pytest

from apmatrix.arch import Apqn, Mask, Matrix
from apmatrix.cards import Handling, Loss, Request
from apmatrix.linux.ap.message import ApMessage
from apmatrix.linux.zcrypt import ByteOrder, ModExpo
from support.zcrypt import Crypto, Storage, outcome

DEVICE_STATUS, OLD_DEVICE_STATUS = 0xC0007A5F, 0xC0007A4F
STATUS, DEPTH, COUNTS = 0x81007A58, 0x81007A59, 0x84007A5A
OLD_STATUS, OLD_DEPTH, OLD_COUNTS = 0x80407A48, 0x80407A49, 0x81007A4A
WAITING, PENDING, OPENS, DOMAIN = 0x80047A44, 0x80047A45, 0x80047A46, 0x80047A47
KEY = ModExpo(b"\0\x41", b"\0\x11", b"\x0c\xa1")
NOWHERE = 0x10
SIZES = {
    DEVICE_STATUS: 0x40000, OLD_DEVICE_STATUS: 0x10000, STATUS: 256, DEPTH: 256, COUNTS: 1024,
    OLD_STATUS: 64, OLD_DEPTH: 64, OLD_COUNTS: 256, WAITING: 4, PENDING: 4, OPENS: 4, DOMAIN: 4,
}  # fmt: skip


def ask(crypto, number, order=ByteOrder.LITTLE, room=0x40000):
    storage = Storage(order)
    address = storage.put(b"\xee" * room)
    file = crypto.system.zcrypt_nodes.open("z90crypt", order)
    try:
        assert file.ioctl(number, address, storage) == 0
    finally:
        file.close()
    return storage.content(address)


def words(content, order):
    return [int.from_bytes(content[start : start + 4], order.value) for start in range(0, len(content), 4)]


@pytest.mark.parametrize("number", SIZES, ids=hex)
def test_each_writes_exactly_its_size(crypto, number):
    size = SIZES[number]
    content = ask(crypto, number, room=size + 1)
    assert content[size:] == b"\xee"
    if size > 4:
        assert b"\xee" not in content[:size]


@pytest.mark.parametrize("number", SIZES, ids=hex)
def test_each_notices_that_there_is_no_room(crypto, number):
    storage = Storage()
    file = crypto.system.zcrypt_nodes.open("z90crypt")
    short = storage.put(SIZES[number] - 1)
    assert outcome(lambda: file.ioctl(number, short, storage)) == "EFAULT"
    assert outcome(lambda: file.ioctl(number, NOWHERE, storage)) == "EFAULT"
    file.close()


# What compilers for x86-64 and s390x make of the header's bit-fields.
@pytest.mark.parametrize(
    ("number", "order", "entry"),
    [
        (DEVICE_STATUS, ByteOrder.LITTLE, "0e330549"),
        (DEVICE_STATUS, ByteOrder.BIG, "0e0533c8"),
        (OLD_DEVICE_STATUS, ByteOrder.LITTLE, "0e334512"),
        (OLD_DEVICE_STATUS, ByteOrder.BIG, "0e14cf20"),
    ],
)
def test_the_status_of_a_queue(crypto, number, order, entry):
    content = ask(crypto, number, order, SIZES[number])
    start = (5 * 256 + 0x33) * 4
    assert content[start : start + 4].hex() == entry
    used = [index // 4 for index in range(0, len(content), 4) if any(content[index : index + 4])]
    assert used == [card * 256 + domain for card in (2, 5, 10) for domain in (6, 0x33)]


def test_the_status_of_a_queue_that_is_offline_or_given_away(crypto):
    crypto.write("bus/ap/devices/05.0033/online", "0")
    crypto.write("bus/ap/apmask", "-2")
    content = ask(crypto, DEVICE_STATUS, ByteOrder.BIG)
    assert content[(5 * 256 + 0x33) * 4 + 3] == 0x48
    assert not any(content[2 * 1024 : 3 * 1024])


def test_old_forms_know_64_adapters():
    numbers = (2, 0x3F, 0x40)
    matrix = Matrix(Mask.of(*numbers), Mask.of(6), Mask())
    crypto = Crypto(dict.fromkeys(numbers, "CEX6A"), matrix, max_adapter=0xFF)
    try:
        assert [card for card, kind in enumerate(ask(crypto, STATUS, room=256)) if kind] == [2, 0x3F, 0x40]
        assert [card for card, kind in enumerate(ask(crypto, OLD_STATUS, room=64)) if kind] == [2, 0x3F]
        old = words(ask(crypto, OLD_DEVICE_STATUS, room=0x10000), ByteOrder.LITTLE)
        assert [index // 256 for index, word in enumerate(old) if word] == [2, 0x3F]
    finally:
        crypto.close()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("CEX4A", 0x0A), ("CEX5A", 0x0B), ("CEX6A", 0x0C), ("CEX7A", 0x0C), ("CEX8A", 0x0C),
        ("CEX4C", 0x07), ("CEX8C", 0x07), ("CEX4P", 0x0A), ("CEX5P", 0x0B), ("CEX8P", 0x0C),
    ],
)  # fmt: skip
def test_the_types_of_the_status_mask(kind, expected):
    crypto = Crypto({2: kind}, Matrix(Mask.of(2), Mask.of(6), Mask()))
    try:
        assert ask(crypto, STATUS)[2] == expected
        crypto.write("bus/ap/devices/card02/online", "0")
        assert ask(crypto, STATUS)[2] == 0x0D
    finally:
        crypto.close()


@pytest.mark.parametrize("order", list(ByteOrder))
def test_counts_are_those_of_the_default_domain(crypto, order):
    for queue in ("02.0006", "02.0006", "02.0033"):
        crypto.zcrypt.rsa(KEY, queue=queue)
    assert words(ask(crypto, COUNTS, order, 1024), order) == [0, 0, 2] + 253 * [0]
    crypto.write("bus/ap/ap_domain", "51")
    assert words(ask(crypto, COUNTS, order, 1024), order)[2] == 1
    assert words(ask(crypto, OLD_COUNTS, order, 256), order)[2] == 1
    assert words(ask(crypto, DOMAIN, order, 4), order) == [51]


def test_requests_that_are_under_way(crypto):
    crypto.zcrypt.rsa(KEY, queue="02.0006")  # brings the queue up
    crypto.wire.answer(*[Handling(Request(0, b"", special=False), loss=Loss.HELD)] * 8)
    with crypto.system.kernel:
        for queue, count in (("02.0006", 11), ("02.0033", 1)):
            for _ in range(count):
                crypto.system.ap.queues[Apqn.parse(queue)].send(ApMessage(b"", lambda _: None))
    assert ask(crypto, DEPTH)[:16] == bytes((0, 0, 11)) + bytes(13)
    assert ask(crypto, OLD_DEPTH)[2] == 11
    counts = [words(ask(crypto, number, room=4), ByteOrder.LITTLE) for number in (PENDING, WAITING)]
    assert counts == [[8], [3]]


def test_open_files_are_counted_over_all_nodes(crypto):
    crypto.node("box")
    nodes = crypto.system.zcrypt_nodes
    files = [nodes.open("z90crypt"), nodes.open("box"), nodes.open("box")]
    assert words(ask(crypto, OPENS, room=4), ByteOrder.LITTLE) == [4]
    assert nodes.nodes["box"].opens == 2
    assert crypto.write("class/zcrypt/destroy", "box") == "ok"
    assert words(ask(crypto, OPENS, room=4), ByteOrder.LITTLE) == [4]
    for file in files:
        file.close()
    assert words(ask(crypto, OPENS, room=4), ByteOrder.LITTLE) == [1]


def test_no_default_domain():
    crypto = Crypto({}, Matrix(Mask(), Mask.of(6), Mask()))
    try:
        assert ask(crypto, DOMAIN, room=4) == b"\xff" * 4
    finally:
        crypto.close()
