"""Vectors V10 to V28: the grammar of apmask and aqmask (host.md 8.2)."""

import pytest

from apmatrix.arch import ALL_BITS, Mask
from support.host import GIVE_ALL_DOMAINS, ZEROS


def without(*numbers):
    return str(ALL_BITS - Mask.of(*numbers))


def padded(digits):
    return "0x" + digits.ljust(64, "0")


ACCEPTED = {
    "V10": ("0x41\n", padded("41")),
    "V11": ("41", padded("41")),
    "V12": ("5\n", padded("5")),
    "V13": ("\n", ZEROS),
    "V14": ("0x\n", ZEROS),
    "V18": ("-5,-6\n", "0xf9" + "f" * 62),
    "V19": ("-0-0xff,+5\n", padded("04")),
    "V20": ("+0-255,-128\n", "0x" + "f" * 32 + "7" + "f" * 31),
    "V22": ("+1-3-5\n", "0xfb" + "f" * 62),
    "V23-repeated": ("-1,,-2\n", without(1, 2)),
    "V23-newlines": ("-5\n\n", without(5)),
    "V23-lacking": ("-1+3", without(1)),
    "V23-range": ("-1-2", without(1, 2)),
    "V25": ("-010\n", without(8)),
}

REFUSED = {
    "V15": ["0X41\n"],
    "V16": ["0x" + "f" * 65],
    "V17": ["0xg\n", " 0x41", "0x41 "],
    "V21": ["+256\n", "+5-3\n", "+ 1\n", "+\n", "+5-\n", "+0x\n", "+08\n", ",+1\n", "+1, +2\n"],
    "V24": ["-18446744073709551621\n", "-0x10000000000000000", "-5-18446744073709551621"],
    "V28": ["-5,+256"],
}


@pytest.mark.parametrize("attribute", ["apmask", "aqmask"])
@pytest.mark.parametrize(("text", "mask"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(h0_host, attribute, text, mask):
    assert h0_host.write(f"bus/ap/{attribute}", text) == "ok"
    assert h0_host.bus(attribute) == mask + "\n"


@pytest.mark.parametrize("attribute", ["apmask", "aqmask"])
@pytest.mark.parametrize(
    "text",
    [text for texts in REFUSED.values() for text in texts],
    ids=[f"{number}-{index}" for number, texts in REFUSED.items() for index, _ in enumerate(texts)],
)
def test_refused_and_nothing_changes(h0_host, attribute, text):
    h0_host.write(f"bus/ap/{attribute}", "-9\n")
    before = h0_host.masks(), h0_host.drivers()
    h0_host.news()
    assert h0_host.write(f"bus/ap/{attribute}", text) == "EINVAL"
    assert (h0_host.masks(), h0_host.drivers()) == before
    assert h0_host.news() == []


@pytest.mark.parametrize("text", ["\n", "0x\n"], ids=["V13", "V14"])
def test_an_empty_mask_gives_all_queues_away(h0_host, text):
    assert h0_host.apmask(text) == "ok"
    assert len(h0_host.on("vfio_ap")) == 8


def test_V26_the_current_mask_changes_nothing(h0_host):
    assert h0_host.apmask("-9\n") == "ok"
    mask = h0_host.bus("apmask")
    assert h0_host.unbind("cex4queue", "05.0004") == "ok"
    h0_host.news()
    for text in (mask, "-9", "+5"):
        assert h0_host.apmask(text) == "ok"
    assert h0_host.bus("apmask") == mask
    assert h0_host.driver("05.0004") == "-"
    assert h0_host.news() == []


def test_V27_the_domains_of_the_documented_example(h0_host):
    assert h0_host.aqmask(GIVE_ALL_DOMAINS + "\n") == "ok"
    assert h0_host.bus("aqmask") == "0xf7fffffffffffffffeffffffffffffffffffffffffeffffffffffffffffffffe\n"


def test_V18_the_change_is_announced_after_the_queues_have_moved(h0_host):
    h0_host.news()
    assert h0_host.apmask("-5,-6\n") == "ok"
    events = h0_host.news()
    [announced] = [event for event in events if "APMASK" in event.env]
    assert announced.env["APMASK"] == "0xf9" + "f" * 62 + "\n"
    moved = [event.devpath.rpartition("/")[2] for event in events if event.action == "bind"]
    assert sorted(moved) == h0_host.queues()
    assert events.index(announced) > max(index for index, event in enumerate(events) if event.action == "bind")
