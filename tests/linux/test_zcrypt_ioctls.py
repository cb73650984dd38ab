"""The crypto ioctls: structures, faults, and the order of the checks (hardware.md 3.9, 3.10, 5.2)."""

import tracemalloc

import pytest

from apmatrix.linux.core import Task
from apmatrix.linux.zcrypt import ByteOrder, ModExpoCrt
from support.messages import vectors
from support.zcrypt import Storage, cprb, ep11_cprb, outcome

MV = vectors()
MODEXPO, CRT, CPRB, EP11 = 0xC0007A05, 0xC0007A06, 0xC0007A81, 0xC0007A04
NOWHERE = 0x10
VALUE, EXPONENT, MODULUS, RESULT = b"\0\x41", b"\0\x11", b"\x0c\xa1", b"\x0a\xe6"
CRT_A = {name: bytes(8) + bytes((part,)) for name, part in {"dp": 53, "p": 61, "u": 38}.items()} | {
    "dq": bytes((49,)),
    "q": bytes((53,)),
}


@pytest.fixture(params=list(ByteOrder), ids=lambda order: order.value)
def storage(request):
    return Storage(request.param)


@pytest.fixture
def file(crypto, storage):
    opened = crypto.system.zcrypt_nodes.open("z90crypt", storage.order)
    yield opened
    opened.close()


def call(file, storage, number, argument):
    return outcome(lambda: file.ioctl(number, argument, storage))


# RSA


def test_modular_exponentiation(file, storage):
    output = storage.put(8)
    block = storage.modexpo(VALUE, EXPONENT, MODULUS, output=output, output_length=8)
    assert call(file, storage, MODEXPO, block) == "ok"
    assert storage.content(output) == RESULT + bytes(6)
    assert storage.number(block + 24) == 2


def test_chinese_remainder_form(file, storage):
    output = storage.put(2)
    assert call(file, storage, CRT, storage.crt(RESULT, CRT_A, output=output)) == "ok"
    assert storage.content(output) == VALUE


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"output_length": 1}, "EINVAL"),
        ({"input_length": 0, "output_length": 0}, "EINVAL"),
        ({"input_length": 0, "output_length": 8}, "EINVAL"),
        ({"input_length": 513, "output_length": 513}, "ENODEV"),
        ({"input_length": 0xFFFFFFFF, "output_length": 0xFFFFFFFF}, "ENODEV"),
        ({"modulus": NOWHERE}, "EFAULT"),
        ({"exponent": NOWHERE}, "EFAULT"),
        ({"input": NOWHERE}, "EFAULT"),
        ({"output": NOWHERE}, "EFAULT"),
    ],
)
def test_what_is_wrong_with_an_rsa_request(crypto, file, storage, changes, expected):
    assert call(file, storage, MODEXPO, storage.modexpo(VALUE, EXPONENT, MODULUS, **changes)) == expected
    assert len(crypto.wire.sent) == ("output" in changes)


@pytest.mark.parametrize("part", ["p", "q", "dp", "dq", "u", "input"])
def test_a_part_of_a_private_key_that_is_not_there(crypto, file, storage, part):
    assert call(file, storage, CRT, storage.crt(RESULT, CRT_A, **{part: NOWHERE})) == "EFAULT"
    assert not crypto.wire.sent


def test_operands_are_looked_at_only_when_there_is_a_queue(crypto, file, storage):
    block = storage.modexpo(VALUE, EXPONENT, MODULUS, modulus=NOWHERE)
    crypto.only()
    assert call(file, storage, MODEXPO, block) == "ENODEV"


def test_a_result_whose_length_cannot_be_told(file, storage):
    fields = storage.content(storage.modexpo(VALUE, EXPONENT, MODULUS))
    assert call(file, storage, MODEXPO, storage.put(fields, sealed=True)) == "EFAULT"


def test_a_shorter_result_leaves_the_rest_of_the_buffer(crypto, file, storage):
    crypto.only("05.0006")
    short = MV["MV-6"]
    reply = bytearray(short[:282] + b"\0\2")
    reply[16:20], reply[72:76] = (len(reply) - 48).to_bytes(4, "big"), (16).to_bytes(4, "big")
    reply[272:274] = (10).to_bytes(2, "big")
    crypto.wire.answer(bytes(reply))
    output = storage.put(b"\xee" * 16)
    operands = (bytes(15) + b"\2", bytes(15) + b"\3", bytes(8) + b"\xff" * 8)
    assert call(file, storage, MODEXPO, storage.modexpo(*operands, output=output)) == "ok"
    assert storage.content(output) == short[274:282] + b"\xee" * 8


@pytest.mark.parametrize("number", [MODEXPO, CRT, CPRB, EP11])
def test_an_argument_that_points_nowhere(crypto, file, storage, number):
    assert call(file, storage, number, NOWHERE) == "EFAULT"
    assert not crypto.wire.sent


# CPRBs


def test_random_numbers_by_a_cprb(file, storage):
    block = storage.xcrb(cprb(6, data_room=4096).control, b"", 4096, 4096)
    assert call(file, storage, CPRB, block) == "ok"
    reply = storage.number(block + 60, 8)
    assert storage.number(block + 48) == 220 + 8
    assert storage.read(reply + 220, 8) == b"RL\0\2\0\2\0\2"
    assert storage.number(block + 68) == 4096
    assert len(set(storage.read(storage.number(block + 80, 8), 4096))) > 200
    assert storage.number(block + 90) == 0


def test_the_program_keeps_what_it_has_in_the_gaps(file, storage):
    block = storage.xcrb(cprb(6, data_room=4096).control, b"", 4096, 4096)
    before = storage.content(block)
    assert call(file, storage, CPRB, block) == "ok"
    after = bytearray(storage.content(block))
    for start in (48, 68, 90):  # the lengths and the status are the kernel's to change
        after[start : start + 4] = before[start : start + 4]
    assert after == before


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"request_length": 219}, "EINVAL"),
        ({"reply_length": 219}, "EINVAL"),
        ({"request_length": 0xFFFFFFFF}, "EINVAL"),
        ({"data_length": 24576}, "EINVAL"),
        ({"reply_length": 0xFFFFFFFF}, "EINVAL"),
        ({"reply_data_length": 0xFFFFFFFF}, "EINVAL"),
        ({"request_length": 220}, "EINVAL"),  # no verb
        ({"request": NOWHERE}, "EFAULT"),
        ({"request": NOWHERE, "request_length": 219}, "EINVAL"),
        ({"data_length": 4, "data": NOWHERE}, "EFAULT"),
        ({"card": 2}, "ENODEV"),
        ({"card": 6}, "ENODEV"),
    ],
)
def test_what_is_wrong_with_a_cprb(crypto, file, storage, changes, expected):
    block = storage.xcrb(cprb(6).control, **changes)
    assert call(file, storage, CPRB, block) == expected
    assert not crypto.wire.sent
    assert storage.number(block + 90) == 0  # the structure comes back in any case


def test_a_reply_that_does_not_fit(crypto, file, storage):
    block = storage.xcrb(cprb(6, data_room=4096).control, b"", 227, 4096)
    crypto.wire.answer(MV["MV-10"])
    assert call(file, storage, CPRB, block) == "EMSGSIZE"
    assert storage.number(block + 48) == 227
    assert not any(storage.read(storage.number(block + 60, 8), 227))


def test_the_control_block_comes_even_if_the_data_do_not_fit(crypto, file, storage):
    block = storage.xcrb(cprb(6, data_room=4096).control, b"", 4096, 4092)
    crypto.wire.answer(MV["MV-10"])
    assert call(file, storage, CPRB, block) == "EMSGSIZE"
    assert storage.number(block + 48) == 228
    assert storage.read(storage.number(block + 60, 8) + 220, 2) == b"RL"
    assert storage.number(block + 68) == 4092


@pytest.mark.parametrize("where", ["reply", "reply_data"])
def test_a_reply_that_cannot_be_stored(crypto, file, storage, where):
    block = storage.xcrb(cprb(6, data_room=4096).control, b"", 4096, 4096, **{where: NOWHERE})
    assert call(file, storage, CPRB, block) == "EFAULT"
    assert len(crypto.wire.sent) == 1


def test_the_status_comes_back_with_the_error(crypto, file, storage):
    crypto.wire.answer(MV["MV-19"])
    block = storage.xcrb(cprb(6).control)
    assert call(file, storage, CPRB, block) == "EINVAL"
    assert storage.number(block + 90) == 0x0008044D


def test_a_structure_that_cannot_be_written_back(crypto, file, storage):
    block = storage.put(storage.content(storage.xcrb(cprb(6).control)), sealed=True)
    crypto.wire.answer(MV["MV-19"])
    assert call(file, storage, CPRB, block) == "EFAULT"


def test_what_the_card_gets_of_a_cprb(crypto, file, storage):
    control = cprb(6).control + b"X"
    block = storage.xcrb(control, b"data", 500, 24576, agent=0x5043)
    crypto.wire.answer(MV["MV-23"])
    assert call(file, storage, CPRB, block) == "ok"
    (sent,) = crypto.wire.sent
    padded = len(control) + -len(control) % 4
    assert sent.message[32:34] == b"PC"
    assert sent.message[88 : 88 + padded] == control.ljust(padded, b"\0")
    assert sent.message[88 + padded :] == b"data"
    words = [int.from_bytes(sent.message[offset : offset + 4], "big") for offset in (20, 56, 60, 72, 76)]
    # The data's room is trusted, the control block's is cut to what is left of the card's longest message.
    assert words == [88 + padded, len(control), 4, 0, 24528]


@pytest.mark.parametrize("verb", [b"US", b"AU"])
def test_verbs_that_need_the_special_bit(crypto, file, storage, verb):
    crypto.wire.answer(MV["MV-23"], MV["MV-23"])
    for block, special in ((verb + b"\0\2\0\2\0\2", True), (b"UX\0\2\0\2\0\2", False)):
        assert call(file, storage, CPRB, storage.xcrb(cprb(6, block=block).control)) == "ok"
        assert crypto.wire.sent.pop().special is special


# EP11


def test_an_ep11_request(crypto, file, storage):
    block = storage.urb(ep11_cprb().cprb, ((0x0A, 0x33),))
    assert call(file, storage, EP11, block) == "ok"
    assert crypto.wire.queues == ["0a.0033"]
    length = storage.number(block + 42, 8)
    reply = storage.read(storage.number(block + 50, 8), length)
    assert reply[:3] == b"\0\x20\4"
    assert length == 32 + int.from_bytes(reply[28:32], "big")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"request_length": 36}, "EINVAL"),
        ({"reply_length": 31}, "EINVAL"),
        ({"request_length": 2**40}, "EINVAL"),
        ({"reply_length": 2**40}, "EINVAL"),
        ({"request": NOWHERE}, "EFAULT"),
        ({"targets_count": 1, "targets": NOWHERE}, "EFAULT"),
        ({"targets_count": 1, "targets": NOWHERE, "request_length": 1}, "EFAULT"),
    ],
)
def test_what_is_wrong_with_an_ep11_request(crypto, file, storage, changes, expected):
    assert call(file, storage, EP11, storage.urb(ep11_cprb().cprb, **changes)) == expected
    assert not crypto.wire.sent


@pytest.mark.parametrize(("changes", "expected"), [({"request_length": 36}, "EINVAL"), ({}, "ok")])
def test_a_long_target_list_of_one_queue_costs_only_its_bytes(crypto, file, storage, changes, expected):
    block = storage.urb(ep11_cprb().cprb, ((0x0A, 0x33),) * 65535, **changes)
    tracemalloc.start()
    try:
        assert call(file, storage, EP11, block) == expected
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * 2**20  # a pair of numbers for each target would be more than 4 MiB


def test_an_ep11_reply_without_room_and_without_storage(crypto, file, storage):
    crypto.wire.always = MV["MV-17"]
    block = storage.urb(ep11_cprb().cprb, (), 137)
    assert call(file, storage, EP11, block) == "EMSGSIZE"
    assert storage.number(block + 42, 8) == 137
    assert call(file, storage, EP11, storage.urb(ep11_cprb().cprb, (), 138)) == "ok"
    assert call(file, storage, EP11, storage.urb(ep11_cprb().cprb, reply=NOWHERE)) == "EFAULT"


@pytest.mark.parametrize(("kind", "online"), [(0x82, "1"), (0x87, "1"), (0x88, "0")])
def test_error_types_of_ep11(crypto, file, storage, kind, online):
    crypto.only("0a.0006")
    crypto.wire.answer(bytes((0, kind, 0, 0, 0x24, 0, 0, 0)))
    expected = "EINVAL" if online == "1" else "ENODEV"
    assert call(file, storage, EP11, storage.urb(ep11_cprb().cprb)) == expected
    assert crypto.online("0a.0006") == online


# the file


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0xC0007A00, "EPERM"),  # bit 0 of the mask means nothing
        (0xC0007A07, "ENOTTY"),
        (0x00007A05, "ENOTTY"),
        (0xC0047A05, "ENOTTY"),
        (0xC0006105, "ENOTTY"),
        (0x80047A40, "ENOTTY"),
    ],
)
def test_ioctls_that_zcrypt_does_not_have(file, storage, number, expected):
    assert call(file, storage, number, storage.put(64)) == expected


def test_reading_and_writing(file):
    assert outcome(lambda: file.read(10)) == "EPERM"
    assert outcome(lambda: file.write(b"x")) == "EPERM"


def test_a_node_without_the_card_does_not_choose_it(crypto, storage):
    crypto.node("cca", apmask="+5", aqmask="+0x33")
    extra = crypto.system.zcrypt_nodes.open("cca", storage.order)
    operands = (bytes(15) + b"\2", bytes(15) + b"\3", bytes(8) + b"\xff" * 8)
    assert call(extra, storage, MODEXPO, storage.modexpo(*operands)) == "ok"
    assert crypto.wire.queues == ["05.0033"]
    assert call(extra, storage, MODEXPO, storage.modexpo(VALUE, EXPONENT, MODULUS)) == "ENODEV"


def test_a_signal_ends_the_wait(crypto, file, storage):
    task = Task("openssl", 7)
    task.signalled = True
    workers = crypto.machine.adapters[2].workers
    held = []
    crypto.machine.adapters[2].workers = type("Held", (), {"submit": lambda _, _turn, *work: held.append(work)})()
    block = storage.modexpo(VALUE, EXPONENT, MODULUS)
    assert outcome(lambda: file.ioctl(MODEXPO, block, storage, task)) == "EINTR"
    crypto.machine.adapters[2].workers = workers
    for action, *arguments in held:
        action(*arguments)
    # The reply to the forgotten request must not be taken for that of the next.
    assert outcome(lambda: crypto.zcrypt.rsa(ModExpoCrt(RESULT, **CRT_A), queue="02.0006")) == "ok"
    assert crypto.zcrypt.rsa(ModExpoCrt(RESULT, **CRT_A), queue="02.0006") == VALUE
    assert [sent.message_id >> 32 for sent in crypto.wire.sent[:1]] == [7]
