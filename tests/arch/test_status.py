import pytest
from hypothesis import given
from hypothesis import strategies as st

from apmatrix.arch import QueueStatus, ResponseCode
from apmatrix.arch.status import NOT_AVAILABLE, queue_status

FLAGS = {
    "empty": 0x80000000,
    "replies_waiting": 0x40000000,
    "queue_full": 0x20000000,
    "interrupts_enabled": 0x01000000,
}


@given(st.sampled_from(ResponseCode), st.fixed_dictionaries({name: st.booleans() for name in FLAGS}))
def test_flags_and_response_code_have_their_places(code, flags):
    word = code << 16 | sum(bit for name, bit in FLAGS.items() if flags[name])
    status = queue_status(code, **flags)
    assert status == QueueStatus(word)
    assert status.value == word
    assert status.response_code is code
    assert status.ok == (code == 0)


def test_the_asynchronous_error_bit():
    assert QueueStatus(0x02350000).async_error
    assert not QueueStatus(0x01350000).async_error


def test_not_available():
    assert NOT_AVAILABLE.value == 0x00010000
    assert not NOT_AVAILABLE.ok


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NORMAL", 0x00),
        ("NOT_AVAILABLE", 0x01),
        ("RESET_IN_PROGRESS", 0x02),
        ("DECONFIGURED", 0x03),
        ("CHECKSTOPPED", 0x04),
        ("BUSY", 0x05),
        ("INVALID_ADDRESS", 0x06),
        ("OTHERWISE_CHANGED", 0x07),
        ("INVALID_GISA", 0x08),
        ("BOUND_TO_ANOTHER", 0x09),
        ("STATE_CHANGE_IN_PROGRESS", 0x0A),
        ("NOT_BOUND", 0x0B),
        ("QUEUE_FULL", 0x10),
        ("NO_PENDING_REPLY", 0x10),
        ("INDEX_TOO_BIG", 0x11),
        ("NO_FIRST_PART", 0x13),
        ("MESSAGE_TOO_BIG", 0x15),
        ("FACILITY_NOT_INSTALLED", 0x16),
        ("BIND_ERROR", 0x30),
        ("NOT_AVAILABLE_FOR_ASSOCIATION", 0x31),
        ("NOT_EMPTY", 0x32),
        ("BIND_LIMIT_EXCEEDED", 0x33),
        ("INVALID_SECRET", 0x34),
        ("SECRET_NOT_UNIQUE", 0x35),
        ("ASSOCIATION_FAILED", 0x36),
        ("INVALID_DOMAIN", 0x42),
    ],
)
def test_response_codes(name, value):
    assert ResponseCode[name] == value
