"""Random numbers from the CCA coprocessors (hardware.md 3.8, 4.3)."""

import pytest

from apmatrix.arch import Mask, Matrix, ResponseCode
from apmatrix.cards import Handling, QueueFunction, Request, ScriptedAnswers
from apmatrix.linux.core import Task
from apmatrix.linux.zcrypt.rng import random_request
from support.messages import vectors
from support.zcrypt import Crypto, outcome

MV = vectors()
RANDOM = bytes(range(256)) * 16
REPLY = MV["MV-10"][:276] + RANDOM


def attribute(crypto, name):
    return crypto.read(f"class/misc/hw_random/{name}")


def test_mv9_the_request():
    assert random_request(6) == MV["MV-9"]


def test_the_entropy_thread_reads_once_when_the_generator_appears(crypto):
    for queue in ("05.0006", "05.0033"):
        crypto.write("bus/ap/drivers/cex4queue/unbind", queue)
    crypto.clock.advance(1)
    assert crypto.wire.sent == []
    for queue in ("05.0033", "05.0006"):
        crypto.write("bus/ap/drivers/cex4queue/bind", queue)
    crypto.clock.advance(1)
    assert crypto.wire.queues == ["05.0033"]
    assert len(crypto.system.hwrng.read(4092)) == 4092
    assert crypto.wire.queues == ["05.0033"]


def test_the_entropy_thread_tries_again_while_it_fails(crypto):
    crypto.write("bus/ap/drivers/cex4queue/unbind", "05.0033")
    crypto.write("bus/ap/drivers/cex4queue/unbind", "05.0006")
    crypto.wire.answer(MV["MV-19"])
    crypto.write("bus/ap/drivers/cex4queue/bind", "05.0006")
    crypto.clock.advance(1)
    assert (crypto.wire.queues, crypto.system.hwrng.prefetched) == (["05.0006"], 0)
    crypto.clock.advance(10)
    assert (crypto.wire.queues, crypto.system.hwrng.prefetched) == (["05.0006"] * 2, 4092)


def test_a_request_brings_4096_bytes(crypto):
    crypto.wire.answer(REPLY)
    assert b"".join(crypto.system.hwrng.read(length) for length in (1, 95, 4000)) == RANDOM
    assert len(crypto.wire.sent) == 1
    (sent,) = crypto.wire.sent
    assert sent.message == random_request(int(sent.apqn[3:], 16))
    assert crypto.system.hwrng.read(1)
    assert len(crypto.wire.sent) == 2


def test_long_reads_and_both_queues(crypto):
    data = crypto.system.hwrng.read(10_000)
    assert len(data) == 10_000
    assert len({data[start : start + 16] for start in range(0, 10_000, 16)}) == 625
    assert crypto.wire.queues == ["05.0006", "05.0033", "05.0006"]


def test_a_queue_that_is_offline_is_not_asked(crypto):
    crypto.write("bus/ap/devices/05.0006/online", "0")
    crypto.system.hwrng.read(1)
    assert crypto.wire.queues == ["05.0033"]


@pytest.mark.parametrize(
    "reply",
    [
        MV["MV-19"],
        MV["MV-20"],
        MV["MV-22"],
        MV["MV-23"],
        REPLY[:-1],
        MV["MV-10"][:192] + b"\0\0\0\5" + MV["MV-10"][196:],
    ],
    ids=["82", "88", "filtered", "8/66", "too-short", "reason-only"],
)
def test_errors_are_eio_and_the_queue_stays(crypto, reply):
    crypto.wire.answer(reply)
    assert outcome(lambda: crypto.system.hwrng.read(10)) == "EIO"
    assert len(crypto.wire.sent) == 1
    assert crypto.online("05.0006") == "1"
    assert len(crypto.system.hwrng.read(10)) == 10


def test_a_nonsensical_reply_retires_the_queue(crypto):
    crypto.wire.answer(b"\0\x90" + bytes(6))
    assert outcome(lambda: crypto.system.hwrng.read(10)) == "EIO"
    assert crypto.online("05.0006") == "0"
    assert crypto.system.hwrng.read(1)
    assert crypto.wire.queues == ["05.0006", "05.0033"]


def test_a_read_ends_short_when_the_cards_fail(crypto):
    crypto.wire.answer(REPLY, MV["MV-19"])
    assert crypto.system.hwrng.read(5000) == RANDOM
    assert len(crypto.system.hwrng.read(5000)) == 5000


def test_nqap_errors(crypto):
    crypto.machine.adapters[5].filters.add(ScriptedAnswers(QueueFunction.NQAP, [ResponseCode(0x42)], forever=True))
    assert outcome(lambda: crypto.system.hwrng.read(10)) == "EIO"


def test_all_offline_is_eio_but_no_generator_is_enodev(crypto):
    crypto.write("bus/ap/devices/card05/online", "0")
    assert outcome(lambda: crypto.system.hwrng.read(10)) == "EIO"
    assert attribute(crypto, "rng_available") == "zcrypt \n"
    crypto.write("bus/ap/apmask", "-5")
    assert outcome(lambda: crypto.system.hwrng.read(10)) == "ENODEV"


def test_a_reader_that_gets_a_signal(crypto):
    crypto.wire.answer(Handling(Request(0, b"", special=False), reply=REPLY, delay=5))
    task = Task()
    task.signalled = True
    assert outcome(lambda: crypto.system.hwrng.read(10, task)) == "EINTR"


def test_the_attributes_follow_the_queues(crypto):
    assert (attribute(crypto, "rng_available"), attribute(crypto, "rng_current")) == ("zcrypt \n", "zcrypt\n")
    assert (attribute(crypto, "rng_quality"), attribute(crypto, "rng_selected"), attribute(crypto, "dev")) == (
        "990\n",
        "0\n",
        "10:183\n",
    )
    crypto.write("bus/ap/aqmask", "-6")
    assert attribute(crypto, "rng_available") == "zcrypt \n"
    crypto.write("bus/ap/aqmask", "-0x33")
    assert (attribute(crypto, "rng_available"), attribute(crypto, "rng_current")) == ("\n", "none\n")
    with pytest.raises(OSError, match="no random number generator"):
        attribute(crypto, "rng_quality")
    crypto.write("bus/ap/aqmask", "+6")
    assert attribute(crypto, "rng_current") == "zcrypt\n"


def test_choosing_a_generator(crypto):
    for written, selected in (("other", "0"), ("zcrypt\n", "1"), ("other", "1"), ("\n", "0")):
        assert crypto.write("class/misc/hw_random/rng_current", written) == "ok"
        assert attribute(crypto, "rng_selected") == f"{selected}\n"


@pytest.mark.parametrize(
    ("written", "expected"), [("1024", "ok"), ("0x10", "ok"), ("1025", "EINVAL"), ("-1", "EINVAL"), ("x", "EINVAL")]
)
def test_setting_the_quality(crypto, written, expected):
    assert crypto.write("class/misc/hw_random/rng_quality", written) == expected
    assert attribute(crypto, "rng_quality") == (f"{int(written, 0)}\n" if expected == "ok" else "990\n")


@pytest.mark.parametrize("kind", ["CEX8A", "CEX8P"])
def test_other_cards_make_no_random_numbers(kind):
    crypto = Crypto({2: kind}, Matrix(Mask.of(2), Mask.of(6), Mask()))
    try:
        assert attribute(crypto, "rng_available") == "\n"
        assert outcome(lambda: crypto.system.hwrng.read(1)) == "ENODEV"
    finally:
        crypto.close()


@pytest.mark.parametrize(
    ("written", "quality"),
    [("010\n", 8), ("+7\n", 7), ("0X1f", 31), ("0\n", 0)]
    + [(text, None) for text in ("5", "", "\n", "1_0\n", "0b1\n", "0o7\n", " 5\n", "5 \n", "5\n\n", "5\nx", "08\n")]
    + [(text, None) for text in ("1025\n", "65541\n", "18446744073709551616\n")],
)
def test_the_quality_is_a_number_as_the_kernel_reads_it(crypto, written, quality):
    expected = "ok" if quality is not None or not written else "EINVAL"
    assert crypto.write("class/misc/hw_random/rng_quality", written) == expected
    assert attribute(crypto, "rng_quality") == f"{990 if quality is None else quality}\n"


def test_no_generator_can_be_chosen(crypto):
    def state():
        return attribute(crypto, "rng_current") + attribute(crypto, "rng_selected")

    rng = "class/misc/hw_random"
    assert crypto.write(f"{rng}/rng_current", "none\n") == "ok"
    assert state() == "none\n1\n"
    assert outcome(lambda: crypto.system.hwrng.read(1)) == "ENODEV"
    with pytest.raises(OSError, match="no random number generator is in use"):
        attribute(crypto, "rng_quality")
    assert crypto.write(f"{rng}/rng_quality", "10\n") == "ENODEV"
    for _ in range(2):  # the generator goes and returns: none stays chosen
        crypto.write("bus/ap/apmask", "-5")
        crypto.write("bus/ap/apmask", "+5")
        assert state() == "none\n1\n"
    assert crypto.write(f"{rng}/rng_current", "zcrypt\n\n") == "ok"
    assert state() == "none\n1\n"
    assert crypto.write(f"{rng}/rng_current", "\n") == "ok"
    assert state() == "zcrypt\n0\n"
    assert len(crypto.system.hwrng.read(4)) == 4


def test_the_kernel_chooses_again_when_the_quality_is_set_or_the_generator_goes(crypto):
    rng = "class/misc/hw_random"
    crypto.write(f"{rng}/rng_current", "zcrypt\n")
    crypto.write(f"{rng}/rng_quality", "0\n")
    assert attribute(crypto, "rng_selected") == "0\n"
    crypto.write(f"{rng}/rng_current", "zcrypt\n")
    crypto.write("bus/ap/apmask", "-5")
    assert attribute(crypto, "rng_selected") == "0\n"
    crypto.write("bus/ap/apmask", "+5")
    assert attribute(crypto, "rng_quality") == "1024\n"
