"""PK and PD. Every refusal of numbers must be one that Linux takes as the user's fault (hardware.md 3.7)."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from support.cca import Reply, call, parameters, pd, pk, request
from support.messages import vectors
from support.queues import exchange, make_adapter

HARMLESS = {(8, 65), (8, 66), (8, 72), (8, 770), (12, 769)}
lengths = st.integers(16, 64)


@pytest.mark.parametrize("bits", [1024, 2048, 4096])
def test_key_of_each_size_there_and_back(bits):
    numbers = rsa.generate_private_key(65537, bits).private_numbers()
    modulus, length = numbers.p * numbers.q, bits // 8
    adapter = make_adapter()
    sent = 3**100
    cipher = call(adapter, pk(modulus, 65537, sent, length))
    assert (cipher.codes, len(cipher.vud)) == ((0, 0), length)
    assert int.from_bytes(cipher.vud, "big") == pow(sent, 65537, modulus)
    key = (numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
    plain = call(adapter, pd(key, int.from_bytes(cipher.vud, "big"), length))
    assert int.from_bytes(plain.vud, "big") == sent
    assert len(plain.message) == 276 + length


def test_test_builders_build_what_linux_builds():
    mv5, mv7 = vectors()["MV-5"], vectors()["MV-7"]
    p, q = 2**64 - 59, 2**64 - 83
    value = 0x00112233445566778899AABBCCDDEEFF
    assert mv5[308:] == pk(p * q, 65537, value, 16)
    cipher = 0x92D30644C5E2E4BE56D6379040D8A347
    key = (p, q, 0x15B1EA4E15B1EA49, 0xF0940F6BF0940F1D, 0x3555555555555549)
    assert mv7[308:] == pd(key, cipher, 16)
    assert request(mv5[308:], room=0x724 - 220) == mv5


@given(st.data(), lengths)
def test_any_numbers_get_the_power_or_a_harmless_code(data, length):
    number = st.integers(0, 256**length - 1)
    modulus, exponent, value = (data.draw(number) for _ in range(3))
    reply = call(make_adapter(), pk(modulus, exponent, value, length))
    if modulus % 2 and value < modulus:
        assert (reply.codes, reply.vud) == ((0, 0), pow(value, exponent, modulus).to_bytes(length, "big"))
    else:
        assert reply.codes in HARMLESS
        assert reply.parts == [b"", b"", b""]


@given(st.data(), lengths)
def test_any_private_key_gets_the_power_or_a_harmless_code(data, length):
    half = (length + 1) // 2
    sizes = (half + 8, half, half + 8, half, half + 8)
    key = [data.draw(st.integers(0, 256**size - 1)) for size in sizes]
    reply = call(make_adapter(), pd(key, data.draw(st.integers(0, 256**length - 1)), length))
    assert reply.codes in HARMLESS | {(0, 0)}


def test_numbers_longer_than_the_modulus_are_refused():
    """They would keep the card busy as long as the sender likes."""
    private = bytearray(pd((3, 5, 1, 1, 2), 1, 16))
    assert private[98:100] == b"\0\x10"
    private[98:100] = b"\0\x11"
    assert call(make_adapter(), bytes(private)).codes == (8, 72)
    public = bytearray(pk(15, 1, 1, 16))
    assert public[50:52] == b"\0\x10"
    public[50:52] = b"\0\x11"
    assert call(make_adapter(), bytes(public)).codes == (8, 72)


def test_rule_array_is_checked():
    assert call(make_adapter(), parameters(b"PK", [b"PKCS-1.2"])).codes == (8, 33)


@pytest.mark.parametrize("room", [0, 4, 7, 4096, 100000])
def test_random_numbers_fill_the_room_in_words(room):
    reply = call(make_adapter(), parameters(b"RL", [b"RANDOM"]), data_room=room)
    assert reply.codes == (0, 0)
    assert reply.message[24:28] == min(room // 4 * 4, 8192).to_bytes(4, "big")
    again = call(make_adapter(), parameters(b"RL", [b"RANDOM"]), data_room=room)
    assert room < 16 or again.data != reply.data


def test_random_reply_has_the_shape_of_mv10():
    reply, expected = exchange(make_adapter(), vectors()["MV-9"]), vectors()["MV-10"]
    assert reply[:276] == expected[:276]
    assert len(reply) == len(expected)
    assert Reply(reply).data == reply[276:]
