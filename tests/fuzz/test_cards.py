"""Spoilt messages to all three kinds of cards, several queues at a time.

No message makes a card fail, none makes Linux take a queue for broken, every accepted request gets one reply
under its own id in its own queue, and master keys change only in control domains. ``--fuzz-seconds`` says how long;
``atheris_cards.py`` does the same with coverage as its guide.
"""

import random
import time
from pathlib import Path

import pytest

from fuzz import corpus
from fuzz.mutation import spoil
from fuzz.target import DOMAINS, Target, send_input


@pytest.mark.parametrize("make", corpus.CARDS.values(), ids=corpus.CARDS)
def test_spoilt_messages(make, request):
    seconds = request.config.getoption("--fuzz-seconds", default=2.0)
    seed = request.config.getoption("--fuzz-seed", default=None) or random.randrange(1 << 32)
    source = random.Random(seed)
    messages = corpus.requests()
    target = Target(make())
    end = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < end:
        message = spoil(source, source.choice(messages), messages)
        options = source.getrandbits(62), bool(source.getrandbits(1)), bool(source.getrandbits(1))
        try:
            target.send(message, source.sample(DOMAINS, 2), *options)
        except BaseException as error:
            error.add_note(f"--fuzz-seed={seed}, round {rounds}: {message.hex()}")
            raise
        rounds += 1
    assert rounds


def test_inputs_that_atheris_found():
    """Each reaches code that the others do not."""
    targets = [Target(make()) for make in corpus.CARDS.values()]
    inputs = sorted((Path(__file__).parent / "found").iterdir())
    assert inputs
    for path in inputs:
        try:
            send_input(targets, path.read_bytes())
        except BaseException as error:
            error.add_note(path.name)
            raise
