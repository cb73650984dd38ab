"""Whatever a program passes to an ioctl, it gets an errno, and the cards go on working."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apmatrix.linux.zcrypt import ByteOrder, ModExpo
from support import cca
from support.zcrypt import Crypto, Storage, cprb, ep11_cprb, outcome

MODEXPO, CRT, CPRB, EP11 = 0xC0007A05, 0xC0007A06, 0xC0007A81, 0xC0007A04
KNOWN = {"ok", "EINVAL", "EFAULT", "ENODEV", "EMSGSIZE", "EIO", "EBUSY"}
KEY = ModExpo(b"\0\x41", b"\0\x11", b"\x0c\xa1")
LENGTHS = st.integers(0, 600) | st.sampled_from((0, 1, 2, 128, 220, 256, 512, 513, 12288, 2**32 - 1))
FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def crypto():
    crypto = Crypto()
    yield crypto
    crypto.close()


def call(crypto, order, number, make):
    """Do the ioctl on a structure that ``make`` puts into a storage; the cards must stay online."""
    storage = Storage(order)
    file = crypto.system.zcrypt_nodes.open("z90crypt", order)
    try:
        result = outcome(lambda: file.ioctl(number, make(storage), storage))
    finally:
        file.close()
    assert result in KNOWN
    assert all(queue.online for queue in crypto.system.ap.queues.values()), crypto.system.log.lines()[-1]
    assert crypto.zcrypt.rsa(KEY) == b"\x0a\xe6"


@FUZZ
@given(
    order=st.sampled_from(ByteOrder),
    number=st.sampled_from((MODEXPO, CRT, CPRB, EP11)),
    size=st.integers(0, 100),
    noise=st.randoms(use_true_random=False),
)
def test_noise_for_a_structure(crypto, order, number, size, noise):
    call(crypto, order, number, lambda storage: storage.put(noise.randbytes(size)))


@FUZZ
@given(
    order=st.sampled_from(ByteOrder),
    operands=st.tuples(st.binary(max_size=64), st.binary(max_size=64), st.binary(max_size=64)),
    changes=st.fixed_dictionaries({}, optional={"input_length": LENGTHS, "output_length": LENGTHS}),
)
def test_rsa_requests(crypto, order, operands, changes):
    call(crypto, order, MODEXPO, lambda storage: storage.modexpo(*operands, **changes))


@FUZZ
@given(
    order=st.sampled_from(ByteOrder),
    head=st.binary(max_size=8),
    verb=st.sampled_from((b"RL", b"FQ", b"PK", b"PD", b"KG", b"US", b"ZZ")),
    body=st.binary(max_size=400),
    room=st.integers(0, 600),
    data=st.binary(max_size=64),
    changes=st.fixed_dictionaries(
        {}, optional={"request_length": LENGTHS, "reply_length": LENGTHS, "data_length": LENGTHS, "card": LENGTHS}
    ),
)
def test_cprbs(crypto, order, head, verb, body, room, data, changes):
    control = bytearray(cprb(6, block=verb + body).control)
    control[: len(head)] = head
    call(crypto, order, CPRB, lambda storage: storage.xcrb(bytes(control), data, room, room, **changes))


@FUZZ
@given(
    order=st.sampled_from(ByteOrder),
    body=st.binary(max_size=200),
    flags=st.sampled_from((0, 0x20, 0x80)),
    changes=st.fixed_dictionaries({}, optional={"request_length": LENGTHS, "reply_length": LENGTHS}),
    wrap=st.booleans(),
)
def test_ep11_requests(crypto, order, body, flags, changes, wrap):
    content = b"\x30\x81" + cca.short(len(body))[1:] + body if wrap else body
    header = bytearray(ep11_cprb().cprb[:32])
    header[5], header[28:32] = flags, len(content).to_bytes(4, "big")
    call(crypto, order, EP11, lambda storage: storage.urb(bytes(header) + content, **changes))


@FUZZ
@given(number=st.integers(0, 2**64 - 1) | st.integers(0xC0007A00, 0xC0007AFF))
def test_ioctl_numbers(crypto, number):
    file = crypto.system.zcrypt_nodes.open("z90crypt")
    storage = Storage()
    try:
        assert outcome(lambda: file.ioctl(number, 0x10, storage)) in ("ENOTTY", "EPERM", "EFAULT")
    finally:
        file.close()
