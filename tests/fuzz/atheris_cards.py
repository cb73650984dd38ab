"""The cards under atheris, which needs to be installed: coverage leads it to what the random fuzzer misses.

    PYTHONPATH=tests python tests/fuzz/atheris_cards.py -max_total_time=3600 tests/fuzz/found

An input is one byte of options (card, queues, S bit, RC8A) and a message.
"""

import random
import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["apmatrix.cards"]):
    from fuzz import corpus
    from fuzz.mutation import spoil
    from fuzz.target import Target, send_input

TARGETS = [Target(make()) for make in corpus.CARDS.values()]
MESSAGES = corpus.requests()


def one_input(data):
    """Send one message as its first byte says."""
    send_input(TARGETS, data)


def mutate(data, max_size, seed):
    """Half of the inputs are spoilt as messages, the other half as libFuzzer likes."""
    source = random.Random(seed)
    if source.random() < 0.5:
        return atheris.Mutate(data, max_size)
    options = bytes((source.randrange(32),))
    return (options + spoil(source, bytes(data[1:]), MESSAGES))[:max_size]


def main():
    """Run until a finding, or as long as libFuzzer's options say."""
    with tempfile.TemporaryDirectory() as seeds:
        for number, message in enumerate(MESSAGES):
            for card in range(len(TARGETS)):
                (Path(seeds) / f"{number}-{card}").write_bytes(bytes((card | 8,)) + message)
        arguments = [sys.argv[0], "-max_len=13000", *sys.argv[1:], seeds]
        atheris.Setup(arguments, one_input, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
