"""No message whatever makes a card fail: every one is refused by NQAP or answered with a well-formed reply."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apmatrix.arch import Mask
from apmatrix.cards import Request
from support.messages import vectors
from support.queues import make_adapter
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
