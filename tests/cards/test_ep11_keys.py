"""EP11 keys: generated, used, unwrapped, wrapped for CPACF, and bound to their wrapping key."""

import os

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from apmatrix.arch import KeySet
from support import ep11
from support.queues import make_adapter

OK, ARGUMENTS_BAD, UNSUPPORTED, KEY_INVALID = 0, 7, 0x54, 0x60
WRONG_WRAPPING_KEY, NO_WRAPPING_KEY = 0x80010001, 0x80010015


@pytest.fixture
def adapter():
    made = make_adapter("CEX8P")
    ep11.set_wrapping_key(made, bytes(range(32)))
    return made


def blob_of(reply):
    assert reply.value == OK, hex(reply.value)
    return reply.data


def clear_key_blob(adapter, key, booleans=ep11.DEFAULT, domain=6):
    """Import a clear key the way Linux does: encrypt it under a fresh key and unwrap it."""
    kek = blob_of(ep11.generate(adapter, 32, domain=domain))
    wrapped = blob_of(ep11.encrypt(adapter, kek, key, domain))
    return blob_of(ep11.unwrap(adapter, kek, wrapped, len(key), booleans, domain))


def protected(adapter, blob, domain=6):
    data = blob_of(ep11.protect(adapter, blob, domain))
    assert (data[:2], data[18:22]) == (b"\0\1", b"\0\0\0\1")
    size = int.from_bytes(data[26:34], "big")
    assert len(data) >= 42 + size
    return data[42 : 42 + size], int.from_bytes(data[22:26], "big")


@pytest.mark.parametrize("size", [16, 24, 32])
def test_imported_key_becomes_a_protected_key(adapter, size):
    key = os.urandom(size)
    wrapped, bits = protected(adapter, clear_key_blob(adapter, key))
    assert (len(wrapped), bits) == (size + 32, size * 8)
    assert adapter.context.wrapping_key.unwrap(wrapped) == key


def test_shape_of_a_blob(adapter):
    blob = blob_of(ep11.generate(adapter))
    pattern = adapter.context.keyring.registers(6, KeySet.WK)
    assert len(blob) == 256
    assert blob[32:48] == pattern.current.pattern[:16]
    assert blob[48:56] == ep11.DEFAULT.to_bytes(8, "big")
    assert blob[64:66] == b"\x12\x34"


@given(data=st.binary(max_size=200))
def test_encryption_is_aes_cbc_with_padding(data):
    adapter = make_adapter("CEX8P")
    ep11.set_wrapping_key(adapter, bytes(32))
    key = bytes(range(32))
    blob = clear_key_blob(adapter, key)
    found = blob_of(ep11.encrypt(adapter, blob, data))
    padding = 16 - len(data) % 16
    encryptor = Cipher(algorithms.AES(key), modes.CBC(ep11.IV)).encryptor()
    assert found == encryptor.update(data + bytes([padding]) * padding)
    assert blob_of(ep11.decrypt(adapter, blob, found)) == data


def test_header_over_the_session_does_not_matter(adapter):
    blob = blob_of(ep11.generate(adapter))
    assert ep11.encrypt(adapter, b"\xa5" * 16 + blob[16:], b"data").value == OK


def test_every_other_byte_of_a_blob_matters(adapter):
    blob = blob_of(ep11.generate(adapter))
    for offset in range(32, 256):
        changed = blob[:offset] + bytes((blob[offset] ^ 0x80,)) + blob[offset + 1 :]
        expected = WRONG_WRAPPING_KEY if offset < 48 else KEY_INVALID
        assert ep11.encrypt(adapter, changed, b"data").value == expected
    assert ep11.encrypt(adapter, blob[:-1], b"data").value == KEY_INVALID


@given(keys=st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=2, unique=True))
def test_domains_never_open_each_others_keys(keys):
    adapter = make_adapter("CEX8P")
    for domain, key in zip((6, 7), keys, strict=True):
        ep11.set_wrapping_key(adapter, key, domain)
    own, foreign = (blob_of(ep11.generate(adapter, domain=domain)) for domain in (6, 7))
    assert ep11.encrypt(adapter, own, b"data", 7).value == WRONG_WRAPPING_KEY
    forged = own[:32] + foreign[32:48] + own[48:]
    assert ep11.encrypt(adapter, forged, b"data", 7).value == KEY_INVALID
    assert ep11.encrypt(adapter, own, b"data", 6).value == OK


def test_new_wrapping_key_makes_old_blobs_useless(adapter):
    blob = blob_of(ep11.generate(adapter))
    ep11.set_wrapping_key(adapter, bytes(32))
    assert ep11.encrypt(adapter, blob, b"data").value == WRONG_WRAPPING_KEY


def test_blob_re_enciphered_before_survives_the_change(adapter):
    blob = blob_of(ep11.generate(adapter))
    secret = blob_of(ep11.encrypt(adapter, blob, b"data"))
    assert ep11.administer(adapter, b"REENCIPH", blob).value == 0x80010014
    ep11.administer(adapter, b"IMPORT", bytes(32))
    assert ep11.administer(adapter, b"REENCIPH", blob).value == 0x80010014
    ep11.administer(adapter, b"COMMIT")
    again = blob_of(ep11.administer(adapter, b"REENCIPH", blob))
    assert ep11.administer(adapter, b"REENCIPH", again).value == WRONG_WRAPPING_KEY
    assert ep11.encrypt(adapter, again, b"data").value == WRONG_WRAPPING_KEY
    ep11.administer(adapter, b"FINALIZE")
    assert ep11.encrypt(adapter, blob, b"data").value == WRONG_WRAPPING_KEY
    assert blob_of(ep11.decrypt(adapter, again, secret)) == b"data"
    assert again[48:56] == blob[48:56]


def test_without_wrapping_key_there_are_no_keys():
    adapter = make_adapter("CEX8P")
    assert ep11.generate(adapter).value == NO_WRAPPING_KEY
    assert ep11.encrypt(adapter, bytes(256), b"").value == NO_WRAPPING_KEY


def test_key_that_may_not_leave_the_card(adapter):
    blob = blob_of(ep11.generate(adapter, booleans=0x00000C00))
    assert ep11.protect(adapter, blob).value == 0x6A


def test_a_card_takes_the_special_command_of_wrapping_though_it_reports_no_such_facility(adapter):
    assert not adapter.functions.special_commands
    assert protected(adapter, clear_key_blob(adapter, bytes(32)))


def test_wrapping_needs_the_special_bit(adapter):
    blob = blob_of(ep11.generate(adapter))
    for flags in (0, 0x20):
        with pytest.raises(AssertionError, match="0082000041"):
            ep11.protect(adapter, blob, special=False, flags=flags)


@pytest.mark.parametrize(
    ("function", "strings", "value"),
    [
        (99, (), UNSUPPORTED),
        (21, (), ARGUMENTS_BAD),
        (21, (bytes(4), ep11.word(32), ep11.word(0x1081), ep11.attributes(32), b""), 0x70),
        (21, (bytes(4), ep11.word(16), ep11.word(0x1080), ep11.attributes(32), b""), 0x62),
        (21, (bytes(4), ep11.word(5), ep11.word(0x1080), ep11.attributes(5), b""), 0x62),
        (21, (bytes(4), ep11.word(32), ep11.word(0x1080), b"", b""), 0xD1),
        (21, (bytes(4), ep11.word(32), ep11.word(0x1080), ep11.attributes(32)[:-1], b""), 0xD1),
        (38, (ep11.word(2), ep11.word(0)), ARGUMENTS_BAD),
        (38, (ep11.word(1), ep11.word(1)), ARGUMENTS_BAD),
        (41, (b"QUERY",), UNSUPPORTED),
    ],
)
def test_refused_arguments(adapter, function, strings, value):
    reply = ep11.call(adapter, function, strings)
    assert (reply.value, reply.data) == (value, b"")


def test_refused_data(adapter):
    blob = blob_of(ep11.generate(adapter))
    assert ep11.decrypt(adapter, blob, b"").value == 0x21
    assert ep11.decrypt(adapter, blob, bytes(17)).value == 0x21
    wrapped = blob_of(ep11.encrypt(adapter, blob, bytes(32)))
    assert ep11.unwrap(adapter, blob, wrapped, 16).value == 0xD1
    other = blob_of(ep11.generate(adapter))
    values = {ep11.unwrap(adapter, other, os.urandom(48), 32).value for _ in range(20)}
    assert values <= {0x110, 0xD1}
