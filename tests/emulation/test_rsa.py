"""Questions become the requests that Linux builds (hardware.md 8.3), and wrong answers are noticed."""

import hashlib

import pytest

from apmatrix.arch import Mode
from apmatrix.emulation.rsa import Question, RsaKey
from apmatrix.linux.zcrypt.rsa import build

KEY_A = RsaKey(3233, 17, 61, 53, 53, 49, 38)
KEY_B = RsaKey(
    0xFFFFFFFFFFFFFF720000000000001321,
    65537,
    2**64 - 59,
    2**64 - 83,
    0x15B1EA4E15B1EA49,
    0xF0940F6BF0940F1D,
    0x3555555555555549,
)
M = 0x00112233445566778899AABBCCDDEEFF
C = 0x92D30644C5E2E4BE56D6379040D8A347


@pytest.mark.parametrize(
    ("question", "mode", "length", "digest"),
    [
        (Question(KEY_A, 65, crt=False), Mode.ACCELERATOR, 400, "09aabb09de0aba3e"),
        (Question(KEY_A, 2790, crt=True), Mode.ACCELERATOR, 464, "5640238644837db0"),
        (Question(KEY_B, M, crt=False), Mode.CCA, 396, "d30b678ff5da6efe"),
        (Question(KEY_B, C, crt=True), Mode.CCA, 579, "7550394d1d1efb1c"),
    ],
    ids=["MV-1", "MV-3", "MV-5", "MV-7"],
)
def test_questions_become_the_requests_of_linux(question, mode, length, digest):
    message = build(question.request(), mode, 6)
    assert len(message) == length
    assert hashlib.sha256(message).hexdigest()[:16] == digest


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (Question(KEY_A, 65, crt=False), 2790),
        (Question(KEY_A, 2790, crt=True), 65),
        (Question(KEY_B, M, crt=False), C),
        (Question(KEY_B, C, crt=True), M),
    ],
)
def test_only_the_right_answer_is_right(question, answer):
    length = question.key.length
    assert question.is_answered_by(answer.to_bytes(length, "big"))
    assert not question.is_answered_by((answer ^ 1).to_bytes(length, "big"))
    assert not question.is_answered_by((answer + question.key.n).to_bytes(length + 1, "big"))


def test_a_generated_key_is_good_and_not_shown():
    key = RsaKey.generate()
    assert key.length == 256
    assert key.p * key.q == key.n
    assert key.u * key.q % key.p == 1
    assert str(key.p) not in repr(Question(key, 7, crt=True))
