"""Spoilt messages to all three kinds of cards, several queues at a time.

No message makes a card fail, none makes Linux take a queue for broken, every accepted request gets one reply
under its own id in its own queue, and master keys change only in control domains.
"""

import random
import time

import pytest

from apmatrix.arch import Mask
from apmatrix.cards import Request
from fuzz import corpus
from fuzz.mutation import spoil
from support.replies import assert_well_formed

DOMAINS = (6, 7, 0x40)
CONTROL = 0x40
CARDS = {"accelerator": corpus.accelerator, "CCA": corpus.cca_card, "EP11": corpus.ep11_card}


@pytest.mark.parametrize("make", CARDS.values(), ids=CARDS)
def test_spoilt_messages(make, request):
    seconds = request.config.getoption("--fuzz-seconds", default=2.0)
    seed = request.config.getoption("--fuzz-seed", default=None) or random.randrange(1 << 32)
    source = random.Random(seed)
    messages = corpus.requests()
    adapter = make()
    kept = keys(adapter)
    end = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < end:
        sent = spoil(source, source.choice(messages), messages)
        try:
            send(adapter, source, sent)
            assert keys(adapter) == kept, "a domain was changed that is no control domain"
        except BaseException as error:
            error.add_note(f"--fuzz-seed={seed}, round {rounds}: {sent.hex()}")
            raise
        rounds += 1
    assert rounds


def send(adapter, source, message):
    """Put the message into two queues and look at all of them."""
    expected = {}
    for domain in source.sample(DOMAINS, 2):
        message_id = source.getrandbits(64)
        special = bool(source.getrandbits(1))
        rc8a = bool(source.getrandbits(1))
        sent = Request(message_id, message, special, Mask.of(CONTROL), rc8a)
        if adapter.queue(domain).enqueue(sent).ok:
            expected[domain] = message_id
    assert not adapter.failures, adapter.failures
    for domain in DOMAINS:
        found = adapter.queue(domain).dequeue(adapter.max_message_size)
        if domain in expected:
            assert found.status is not None
            assert found.status.ok
            assert found.message_id == expected[domain]
            assert_well_formed(found.data)
        assert adapter.queue(domain).test().empty


def keys(adapter):
    """The master keys of all domains but the control domain."""
    return {domain: sets for domain, sets in adapter.context.keyring._domains.items() if domain != CONTROL}
