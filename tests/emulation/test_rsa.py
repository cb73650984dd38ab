"""The requests that programs send are those that Linux builds, byte by byte (hardware.md 8.3)."""

import hashlib

import pytest

from apmatrix.arch import ApmatrixError, Mode
from apmatrix.emulation.rsa import BadReply, RsaKey, RsaRequest

KEY_A = RsaKey(3233, 17, 2753, 61, 53, 53, 49, 38)
KEY_B = RsaKey(
    0xFFFFFFFFFFFFFF720000000000001321,
    65537,
    0x93C96C3693C96BE3727C8D83727C98E1,
    2**64 - 59,
    2**64 - 83,
    0x15B1EA4E15B1EA49,
    0xF0940F6BF0940F1D,
    0x3555555555555549,
)
M = 0x00112233445566778899AABBCCDDEEFF
C = 0x92D30644C5E2E4BE56D6379040D8A347


@pytest.mark.parametrize(
    ("request_", "mode", "length", "digest"),
    [
        (RsaRequest(KEY_A, 65, crt=False), Mode.ACCELERATOR, 400, "09aabb09de0aba3e"),
        (RsaRequest(KEY_A, 2790, crt=True), Mode.ACCELERATOR, 464, "5640238644837db0"),
        (RsaRequest(KEY_B, M, crt=False), Mode.CCA, 396, "d30b678ff5da6efe"),
        (RsaRequest(KEY_B, C, crt=True), Mode.CCA, 579, "7550394d1d1efb1c"),
    ],
    ids=["MV-1", "MV-3", "MV-5", "MV-7"],
)
def test_requests_are_those_of_linux(request_, mode, length, digest):
    message = request_.message(mode, 6)
    assert len(message) == length
    assert hashlib.sha256(message).hexdigest()[:16] == digest


@pytest.mark.parametrize(
    ("request_", "reply", "result"),
    [
        (RsaRequest(KEY_A, 65, crt=False), "00800090" + "00" * 138 + "0ae6", 2790),
        (RsaRequest(KEY_A, 2790, crt=True), "00800090" + "00" * 139 + "41", 65),
        (
            RsaRequest(KEY_B, M, crt=False),
            "008602" + "00" * 16 + "f400000030" + "00" * 25 + "dc020000005432" + "00" * 19 + "18" + "00" * 143
            + "06" + "00" * 48 + f"504b00020012{C:032x}0002",
            C,
        ),
    ],
    ids=["MV-2", "MV-4", "MV-6"],
)  # fmt: skip
def test_results_are_found_in_replies(request_, reply, result):
    assert request_.result(bytes.fromhex(reply)) == result
    assert request_.is_right(result)
    assert not request_.is_right(result ^ 1)


def test_a_private_result_outside_the_modulus_is_wrong():
    assert RsaRequest(KEY_A, 2790, crt=True).is_right(65)
    assert not RsaRequest(KEY_A, 2790, crt=True).is_right(65 + KEY_A.n)


def test_an_error_reply_is_no_result():
    with pytest.raises(BadReply, match="reply code 85"):
        RsaRequest(KEY_A, 65, crt=False).result(bytes.fromhex("0082000085000000"))


def test_ep11_takes_no_clear_keys():
    with pytest.raises(ApmatrixError, match="EP11 coprocessor takes no RSA keys"):
        RsaRequest(KEY_A, 65, crt=False).message(Mode.EP11, 6)


def test_a_generated_key_works_both_ways_and_is_not_shown():
    key = RsaKey.generate()
    assert key.length == 256
    assert pow(pow(7, key.d, key.n), key.e, key.n) == 7
    assert str(key.d) not in repr(RsaRequest(key, 7, crt=True))
