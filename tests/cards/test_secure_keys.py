"""AES secure keys of a CCA card: made, imported, re-wrapped for CPACF, and bound to their master key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apmatrix.cards import CardContext, WrappingKey
from apmatrix.cards.cpacf import ProtectedKeyError
from support import cca
from support.queues import make_adapter

SIZES = (16, 24, 32)


@pytest.fixture
def adapter():
    made = make_adapter()
    cca.set_master_key(made)
    return made


def opened(adapter, reply):
    """The clear key behind a reply to US or AU, as the processor sees it."""
    return adapter.context.wrapping_key.unwrap(cca.protected_key(reply))


@pytest.mark.parametrize("size", SIZES)
def test_imported_data_key_becomes_a_protected_key(adapter, size):
    key = bytes(range(100, 100 + size))
    token = cca.token(cca.import_clear(adapter, key))
    assert len(token) == 64
    assert token[56:60] == (size * 8).to_bytes(2, "big") + b"\0\x20"
    assert key[:8] not in token
    reply = cca.unwrap_data(adapter, token)
    assert len(cca.protected_key(reply)) == size + 32
    assert opened(adapter, reply) == key
    block = reply.message[48 + 230 : 48 + 230 + 142]
    assert block[110:142] == adapter.context.wrapping_key.pattern


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("payload_format", [0, 1])
def test_generated_cipher_key(adapter, size, payload_format):
    reply = cca.generate_cipher(adapter, size, payload_format=payload_format)
    token = cca.token(reply)
    length = 136 if payload_format else {16: 120, 24: 128, 32: 136}[size]
    assert (len(token), token[2:4], token[38:40]) == (
        length,
        length.to_bytes(2, "big"),
        ((length - 56) * 8).to_bytes(2, "big"),
    )
    assert reply.message[48 + 226 : 48 + 228] == (2 + 4 + length + 4).to_bytes(2, "big")
    assert len(opened(adapter, cca.unwrap_cipher(adapter, token))) == size
    assert token != cca.token(cca.generate_cipher(adapter, size, payload_format=payload_format))


@pytest.mark.parametrize("size", SIZES)
def test_generated_data_keys_differ(adapter, size):
    keys = {opened(adapter, cca.unwrap_data(adapter, cca.token(cca.generate_data(adapter, size)))) for _ in range(3)}
    assert {len(key) for key in keys} == {size}
    assert len(keys) == 3


@pytest.mark.parametrize("size", SIZES)
def test_clear_key_imported_in_parts_as_linux_does(adapter, size):
    key, random = bytes(range(size)), bytes([0xA5]) * size
    token = cca.token(cca.import_part(adapter, [b"FIRST", b"MIN3PART"], random, cca.skeleton()))
    for part in (key, random):
        assert cca.unwrap_cipher(adapter, token).codes == (8, 2143)
        assert cca.import_part(adapter, [b"COMPLETE"], b"", token).codes == (8, 66)
        token = cca.token(cca.import_part(adapter, [b"ADD-PART"], part, token))
    assert cca.unwrap_cipher(adapter, token).codes == (8, 2143)
    token = cca.token(cca.import_part(adapter, [b"COMPLETE"], b"", token))
    assert opened(adapter, cca.unwrap_cipher(adapter, token)) == key
    assert cca.import_part(adapter, [b"ADD-PART"], key, token).codes == (8, 66)


def test_key_part_of_another_length_is_refused(adapter):
    token = cca.token(cca.import_part(adapter, [b"FIRST", b"MIN3PART"], bytes(32), cca.skeleton()))
    assert cca.import_part(adapter, [b"ADD-PART"], bytes(16), token).codes == (8, 66)


def test_cipher_key_without_the_export_bit_stays_in_the_card(adapter):
    token = cca.token(cca.generate_cipher(adapter, exportable=False))
    assert cca.unwrap_cipher(adapter, token).codes == (8, 2143)
    widened = bytearray(token)
    widened[50] |= 0x08
    assert cca.unwrap_cipher(adapter, bytes(widened)).codes == (8, 65)


def test_unwrapping_needs_the_special_bit(adapter):
    token = cca.token(cca.generate_data(adapter))
    with pytest.raises(AssertionError, match="0082000041"):
        cca.unwrap_data(adapter, token, special=False)


def test_without_master_key_there_are_no_secure_keys():
    adapter = make_adapter()
    assert cca.generate_data(adapter).codes == (12, 764)
    assert cca.generate_cipher(adapter).codes == (12, 764)
    assert cca.import_clear(adapter, bytes(32)).codes == (12, 764)
    assert cca.unwrap_data(adapter, bytes(64)).codes == (8, 65)


@pytest.mark.parametrize("size", [0, 15, 17, 33])
def test_no_aes_key_of_that_length(adapter, size):
    assert cca.import_clear(adapter, bytes(size)).codes == (8, 72)


MAKERS = {
    "DATA": (cca.generate_data, cca.unwrap_data),
    "CIPHER": (cca.generate_cipher, cca.unwrap_cipher),
}


@pytest.mark.parametrize(("make", "use"), MAKERS.values(), ids=MAKERS)
def test_old_master_key_still_opens_and_the_one_before_does_not(adapter, make, use):
    token = cca.token(make(adapter))
    key = opened(adapter, use(adapter, token))
    cca.set_master_key(adapter, seed=2)
    assert opened(adapter, use(adapter, token)) == key
    assert cca.token(make(adapter))[8:18] != token[8:18]
    cca.set_master_key(adapter, seed=3)
    assert use(adapter, token).codes == (8, 48)


@pytest.mark.parametrize(("make", "use"), MAKERS.values(), ids=MAKERS)
def test_key_of_another_domain_or_card_is_refused(adapter, make, use):
    cca.set_master_key(adapter, seed=2, domain=7)
    other = make_adapter()
    cca.set_master_key(other, seed=3)
    token = cca.token(make(adapter))
    assert use(adapter, token, 7).codes == (8, 48)
    assert use(other, token).codes == (8, 48)
    same = make_adapter()
    cca.set_master_key(same)
    assert use(same, token).codes == (0, 0)


@pytest.mark.parametrize(("make", "use"), MAKERS.values(), ids=MAKERS)
@given(data=st.data())
def test_no_altered_token_opens_the_key_in_another_domain(make, use, data):
    """Two domains of one card never open each other's keys, even if the pattern is forged."""
    adapter = make_adapter()
    seeds = data.draw(st.lists(st.integers(0, 255), min_size=2, max_size=2, unique=True))
    for domain, seed in zip((6, 7), seeds, strict=True):
        cca.set_master_key(adapter, seed=seed, domain=domain)
    token = bytearray(cca.token(make(adapter)))
    key = opened(adapter, use(adapter, bytes(token)))
    foreign = cca.token(make(adapter, domain=7))
    pattern = slice(8, 16) if len(token) == 64 else slice(10, 18)
    token[pattern] = foreign[pattern]
    for offset, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(token) - 1), st.integers(0, 255)), max_size=3)
    ):
        token[offset] = byte
    if len(token) == 64:
        token[60:] = (sum(int.from_bytes(token[at : at + 4], "big") for at in range(0, 60, 4)) % 2**32).to_bytes(
            4, "big"
        )
    reply = use(adapter, bytes(token), 7)
    assert reply.codes != (0, 0) or opened(adapter, reply) != key


@pytest.mark.parametrize(("make", "use"), MAKERS.values(), ids=MAKERS)
def test_malformed_tokens_are_refused(adapter, make, use):
    token = cca.token(make(adapter))
    for bad in (b"", token[:-1], token + b"\0", b"\x02" + token[1:], token[:4] + b"\x07" + token[5:]):
        assert use(adapter, bad).codes == (8, 65)
    for offset in range(len(token)):
        changed = token[:offset] + bytes((token[offset] ^ 1,)) + token[offset + 1 :]
        assert use(adapter, changed).codes != (0, 0)


def test_data_key_with_altered_padding_is_refused(adapter):
    token = bytearray(cca.token(cca.import_clear(adapter, bytes(16))))
    token[32] ^= 1
    words = [int.from_bytes(token[at : at + 4], "big") for at in range(0, 60, 4)]
    token[60:] = (sum(words) % 2**32).to_bytes(4, "big")
    assert cca.unwrap_data(adapter, bytes(token)).codes == (8, 65)


@given(secret=st.binary(min_size=16, max_size=64), key=st.binary(min_size=16, max_size=66))
def test_wrapping_key_there_and_back(secret, key):
    wrapping_key = WrappingKey(secret)
    protected = wrapping_key.wrap(key)
    assert len(protected) == len(key) + 32
    assert wrapping_key.unwrap(protected) == key
    assert key not in protected
    with pytest.raises(ProtectedKeyError):
        WrappingKey(secret + b"x").unwrap(protected)


def test_cards_of_a_machine_share_its_wrapping_key():
    wrapping_key = WrappingKey()
    cards = [
        make_adapter(number=number, context=CardContext.of(number, wrapping_key=wrapping_key)) for number in (5, 6)
    ]
    key = bytes(range(32))
    for card in cards:
        cca.set_master_key(card, seed=card.number)
    protected = {cca.protected_key(cca.unwrap_data(card, cca.token(cca.import_clear(card, key)))) for card in cards}
    assert len(protected) == 1
    assert wrapping_key.unwrap(protected.pop()) == key


def test_facility_queries_for_the_host_library(adapter):
    assert cca.facility(adapter, b"STATCRD2").rules.split()[14] == b"93AABA05"
    assert cca.facility(adapter, b"STATCCA").rules.split()[3] == b"6.1"
    assert cca.facility(adapter, b"NONSENSE").codes == (8, 33)
