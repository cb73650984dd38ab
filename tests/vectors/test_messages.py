"""Message vectors MV-1 to MV-8 and MV-19 to MV-23 of hardware.md 8.3."""

import pytest

from apmatrix.arch import Mask, ResponseCode
from apmatrix.arch.messages import Cprbx, MessageType, ReplyCode
from apmatrix.cards import Filter, Handling, Request
from apmatrix.cards.cca.errors import Reason
from apmatrix.cards.messages import CoprocessorRequest, coprocessor_reply, error_reply
from support.messages import vectors
from support.queues import exchange, make_adapter

MV = vectors()
PAIRS = [
    ("CEX7A", "MV-1", "MV-2"),
    ("CEX7A", "MV-3", "MV-4"),
    ("CEX8C", "MV-5", "MV-6"),
    ("CEX8C", "MV-7", "MV-8"),
]


def test_every_vector_is_read():
    assert list(MV) == [f"MV-{number}" for number in range(1, 24)]


@pytest.mark.parametrize(
    ("card", "request_id", "reply_id"), PAIRS, ids=[f"{sent},{reply}" for _, sent, reply in PAIRS]
)
def test_rsa_request_gets_the_reply(card, request_id, reply_id):
    assert exchange(make_adapter(card), MV[request_id]) == MV[reply_id]


@pytest.mark.parametrize("card", ["CEX7A", "CEX8C", "CEX8P"])
def test_foreign_message_type_is_refused(card):
    message = MV["MV-5"] if card == "CEX7A" else MV["MV-1"]
    assert exchange(make_adapter(card), message) == error_reply(ReplyCode.MESSAGE_TYPE)


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("MV-19", error_reply(ReplyCode.RESERVED_FIELD)),
        ("MV-20", error_reply(ReplyCode.EVEN_MODULUS, MessageType.ERROR_88)),
    ],
    ids=["MV-19", "MV-20"],
)
def test_error_reply(name, reply):
    assert reply == MV[name]


def test_reserved_field_in_use_is_answered_like_mv19():
    message = bytearray(MV["MV-5"])
    message[88 + 172] = 1
    assert exchange(make_adapter(), bytes(message)) == MV["MV-19"]


def test_even_modulus_is_answered_with_the_code_of_mv20():
    message = bytearray(MV["MV-1"])
    message[16 + 128 + 127] ^= 1
    reply = exchange(make_adapter("CEX7A"), bytes(message))
    assert reply[4] == MV["MV-20"][4]
    assert reply[1] == MessageType.ERROR


@pytest.mark.parametrize(
    ("name", "code", "final_status"),
    [("MV-21", ReplyCode.TRANSPORT_FAILURE, 0x4D), ("MV-22", ReplyCode.FILTERED_BY_HYPERVISOR, 1)],
    ids=["MV-21", "MV-22"],
)
def test_reply_without_control_block_by_a_filter(name, code, final_status):
    built = coprocessor_reply(b"", code=code, final_status=final_status)
    assert built == MV[name]

    class Fault(Filter):
        def request(self, queue, handling):
            return Handling(handling.request, reply=built)

    adapter = make_adapter()
    adapter.filters.add(Fault())
    assert exchange(adapter, MV["MV-5"]) == MV[name]


def test_mv23_input_beyond_the_modulus():
    message = MV["MV-5"]
    start = 322  # hardware.md 3.7: the input follows the rule array
    assert message[start : start + 4] == bytes.fromhex("00112233")
    beyond = message[:start] + b"\xff" * 16 + message[start + 16 :]
    assert exchange(make_adapter(), beyond) == MV["MV-23"]


@pytest.mark.parametrize(
    ("domain_in_message", "function_id", "control_domains", "rc8a", "expected"),
    [
        (6, b"T2", (), False, ResponseCode.NORMAL),
        (0x33, b"T2", (0x33,), True, ResponseCode.INVALID_DOMAIN),
        (0x40, b"T5", (0x40,), False, ResponseCode.NORMAL),
        (6, b"T5", (0x40,), False, ResponseCode.INVALID_DOMAIN),
        (0xFFFF, b"T2", (), False, ResponseCode.INVALID_DOMAIN),
        (0x40, b"T7", (), False, ResponseCode.INVALID_DOMAIN),
    ],
    ids=["usage", "I52", "control", "own domain without control", "no domain", "no control"],
)
def test_target_is_checked_when_enqueued(domain_in_message, function_id, control_domains, rc8a, expected):
    message = _aimed_at(domain_in_message, function_id)
    adapter = make_adapter()
    status = adapter.queue(6).enqueue(_request(message, control_domains, rc8a))
    assert status.response_code is expected
    assert adapter.queue(6).test().replies_waiting is (expected is ResponseCode.NORMAL)


def test_reply_8a_needs_rc8a_and_carries_a_complete_control_block():
    reply = exchange(make_adapter(), _aimed_at(6, b"T5"), rc8a=True)
    assert reply[1] == MessageType.COPROCESSOR_REPLY
    assert reply[4] == ReplyCode.INVALID_DOMAIN_PENDING
    control = Cprbx.parse(reply[48:])
    assert (control.version, control.function_id, control.domain) == (2, b"T5", 6)
    assert reply[48 + 220 :] == b"PK" + bytes.fromhex("000200020002")


def test_ep11_target_is_checked_when_enqueued():
    adapter = make_adapter("CEX8P")
    usage = MV["MV-16"]
    assert adapter.queue(6).enqueue(_request(usage, (), False)).ok
    assert adapter.queue(7).enqueue(_request(usage, (6,), False)).response_code is (ResponseCode.INVALID_DOMAIN)
    administrative = bytearray(usage)
    administrative[88 + 5] = 0x80
    code = adapter.queue(7).enqueue(_request(bytes(administrative), (6,), False)).response_code
    assert code is ResponseCode.NORMAL
    code = adapter.queue(6).enqueue(_request(bytes(administrative), (7,), False)).response_code
    assert code is ResponseCode.INVALID_DOMAIN


def test_unknown_verb_gets_a_complete_control_block():
    message = MV["MV-5"].replace(b"PK", b"ZZ")
    reply = exchange(make_adapter(), message)
    control = Cprbx.parse(reply[48:])
    assert (control.return_code, control.reason_code) == Reason.UNKNOWN_FUNCTION.value
    assert reply[48 + 220 :] == b"ZZ" + bytes.fromhex("000200020002")
    assert len(reply) == 48 + 228


def _aimed_at(domain, function_id):
    message = bytearray(MV["MV-5"])
    message[88 + 170 : 88 + 172] = domain.to_bytes(2, "big")
    message[88 + 6 : 88 + 8] = function_id
    parsed = CoprocessorRequest.parse(bytes(message))
    assert Cprbx.parse(parsed.control).domain == domain
    return bytes(message)


def _request(message, control_domains, rc8a):
    return Request(1, message, control_domains=Mask.of(*control_domains), rc8a=rc8a)
