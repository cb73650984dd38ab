"""No message whatever makes a card fail: every one is refused by NQAP or answered with a well-formed reply."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apmatrix.arch import Mask
from apmatrix.cards import Request
from support.messages import vectors
from support.queues import exchange, make_adapter
from support.replies import assert_well_formed

CARDS = ["CEX7A", "CEX8C", "CEX8P"]
REQUESTS = [vectors()[f"MV-{number}"] for number in (1, 3, 5, 7, 9, 11, 14, 16)]

changes = st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), max_size=8)
domains = st.integers(0, 255)


def mutated(message, edits, cut):
    data = bytearray(message)
    for offset, byte in edits:
        data[offset % len(data)] = byte
    return bytes(data[: len(data) - cut] if cut > 0 else data + bytes(-cut))


messages = st.one_of(
    st.binary(max_size=400),
    st.builds(mutated, st.sampled_from(REQUESTS), changes, st.integers(-8, 40)),
)


def send(adapter, domain, message, special):
    queue = adapter.queue(domain)
    queue.reset()
    status = queue.enqueue(Request(9, message, special, Mask.of(6, 7)))
    assert not adapter.failures, adapter.failures
    if status.ok:
        found = queue.dequeue(adapter.max_message_size)
        assert found.message_id == 9
        assert found.status is not None
        assert_well_formed(found.data)


@pytest.mark.parametrize("card", CARDS)
@given(message=messages, domain=domains, special=st.booleans())
@example(message=b"", domain=0, special=False)
def test_any_message_is_answered(card, message, domain, special):
    send(make_adapter(card), domain, message, special)


@pytest.mark.parametrize("card", CARDS)
@given(message=messages, special=st.booleans())
def test_message_to_its_own_domain_is_answered(card, message, special):
    send(make_adapter(card), 6, message, special)


@pytest.mark.parametrize(
    ("offset", "value", "code"),
    [
        (56, 309, 0xA0),  # one byte more than there is
        (56, 219, 0x80),  # no room for a CPRBX
        (56, 0, 0x80),
        (16, 89, 0xA0),
        (16, 87, 0xA0),
        (88 + 12, 89, 0xA0),
        (88, 0x00DD0200, 0x29),
        (88, 0x00DC0300, 0x29),
        (88 + 172, 1, 0x24),
    ],
)
def test_wrong_field_of_a_coprocessor_request(offset, value, code):
    message = bytearray(vectors()["MV-5"])
    message[offset : offset + 4] = value.to_bytes(4, "big")
    reply = exchange(make_adapter(), bytes(message))
    assert reply == bytes((0, 0x82, 0, 0, code, 0, 0, 0))


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", 0x40),
        (b"\x30\x00", 0x40),
        (b"\x31\x06" + b"\x04\x01\x26" * 2, 0x40),
        (b"\x30\x06" + b"\x04\x01\x26\x05\x01\x06", 0x40),
        (b"\x30\x07" + b"\x04\x01\x26" * 2, 0xA0),
        (b"\x30\x06" + b"\x04\x01\x26\x04\x02\x06", 0xA0),
        (b"\x30\x80" + b"\x04\x01\x26" * 2, 0x40),
        (b"\x30\x85\0\0\0\0\x06" + b"\x04\x01\x26" * 2, 0x40),
        (b"\x30\x07" + b"\x04\x03\0\0\x26\x04\0", 0x40),
        (b"\x30\x06" + b"\x04\x01\x26" * 2 + b"\0", 0x40),
    ],
)
def test_malformed_ep11_payload(payload, code):
    assert exchange(make_adapter("CEX8P"), ep11_message(payload)) == bytes((0, 0x82, 0, 0, code, 0, 0, 0))


@pytest.mark.parametrize("form", [b"%c", b"\x81%c", b"\x82\0%c", b"\x83\0\0%c", b"\x84\0\0\0%c"])
@pytest.mark.parametrize("number", [b"\x04\x01\x26", b"\x04\x02\0\x26", b"\x04\x04\0\0\0\x26"])
def test_every_form_of_length_and_integer(form, number):
    """What Linux 7.2 lets through is understood (hardware.md 3.10)."""
    strings = number + b"\x04\x01\x06" + b"\x04\x04\0\0\0\x03" + b"\x04\x04\0\0\0\0"
    reply = exchange(make_adapter("CEX8P"), ep11_message(b"\x30" + form % len(strings) + strings))
    assert reply[98:102] == bytes(4)
    assert len(reply) == len(vectors()["MV-17"])


def ep11_message(payload):
    message = bytearray(vectors()["MV-16"][:120]) + payload
    message[56:60] = (32 + len(payload)).to_bytes(4, "big")
    message[88 + 28 : 120] = len(payload).to_bytes(4, "big")
    return bytes(message)
