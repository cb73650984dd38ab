import pytest

from apmatrix.cards import ManualClock, Request
from apmatrix.cards.timing import TimingModel
from apmatrix.cards.traffic import RequestKind, comparable, request_kind
from support import ep11
from support.messages import vectors
from support.queues import exchange, make_adapter

MV = vectors()
UNIT = 0.001
# MV-16 with the outer length in one byte, as Linux 7.2 writes it: 2 bytes less for header, CPRB and payload.
SHORT_FORM = (
    MV["MV-16"][:59]
    + bytes((MV["MV-16"][59] - 2,))
    + MV["MV-16"][60:119]
    + bytes((MV["MV-16"][119] - 2, 0x30))
    + MV["MV-16"][123:]
)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (MV["MV-1"], RequestKind("ME", 128)),
        (MV["MV-3"], RequestKind("CRT", 128)),
        (MV["MV-1"][:9] + b"\x02" + MV["MV-1"][10:], RequestKind("ME", 256)),
        (MV["MV-3"][:9] + b"\x13" + MV["MV-3"][10:], RequestKind("CRT", 512)),
        (MV["MV-5"], RequestKind("PK", 16)),
        (MV["MV-7"], RequestKind("PD", 16)),
        (MV["MV-9"], RequestKind("RL")),
        (MV["MV-11"], RequestKind("FQ")),
        (MV["MV-14"], RequestKind("KG")),
        (MV["MV-16"], RequestKind("38")),
        (SHORT_FORM, RequestKind("38")),
        (SHORT_FORM[:125], RequestKind()),
        (b"", RequestKind()),
        (b"\0\x50", RequestKind()),
        (b"\0\6", RequestKind()),
        (MV["MV-6"], RequestKind()),
    ],
)
def test_kind_of_a_request(message, kind):
    assert request_kind(message) == kind


@pytest.mark.parametrize(
    ("card", "message", "cost"),
    [
        ("CEX4A", MV["MV-1"], 14),
        ("CEX4A", MV["MV-3"], 42),
        ("CEX8A", MV["MV-3"], 15),
        ("CEX4C", MV["MV-7"], 83),
        ("CEX6C", MV["MV-5"], 16),
        ("CEX5C", MV["MV-9"], 27),
        ("CEX7C", MV["MV-14"], 8),
        ("CEX4P", MV["MV-16"], 50),
    ],
)
def test_card_takes_its_time(card, message, cost):
    clock = ManualClock()
    adapter = make_adapter(card, clock=clock)
    adapter.filters.add(TimingModel(UNIT))
    queue = adapter.queue(6)
    assert queue.enqueue(Request(1, message)).ok
    clock.advance((cost - 0.5) * UNIT)
    assert not queue.test().replies_waiting
    clock.advance(UNIT)
    assert queue.test().replies_waiting


def test_requests_of_all_queues_are_served_one_after_the_other():
    clock = ManualClock()
    adapter = make_adapter("CEX4A", clock=clock)
    adapter.filters.add(TimingModel(UNIT))
    for domain in (6, 7):
        adapter.queue(domain).enqueue(Request(1, MV["MV-1"]))
    clock.advance(15 * UNIT)
    assert [adapter.queue(domain).test().replies_waiting for domain in (6, 7)] == [True, False]
    clock.advance(100 * UNIT)
    adapter.queue(6).reset()
    adapter.queue(6).enqueue(Request(1, MV["MV-1"]))
    clock.advance(14.5 * UNIT)
    assert adapter.queue(6).test().replies_waiting


def test_no_time_without_a_model():
    assert exchange(make_adapter("CEX4A"), MV["MV-1"]) == MV["MV-2"]


def test_comparable_leaves_out_the_pointers_of_a_cprbx_only():
    changed = bytearray(MV["MV-5"])
    changed[88 + 48] ^= 1
    changed[88 + 143] ^= 1
    assert comparable(bytes(changed)) == comparable(MV["MV-5"])
    for offset in (88 + 47, 88 + 144):
        other = bytearray(MV["MV-5"])
        other[offset] ^= 1
        assert comparable(bytes(other)) != comparable(MV["MV-5"])
    for message in (MV["MV-1"], MV["MV-16"], ep11.request(21, (b"x",)), b""):
        assert comparable(message) == message
