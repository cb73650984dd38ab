"""How Linux 7.2 reads the beginning of an EP11 payload (hardware.md 3.10)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apmatrix.linux.zcrypt import Ep11Request
from apmatrix.linux.zcrypt.asn1 import domain_part, function_part
from apmatrix.rules.refusals import BadValue
from support.zcrypt import ep11_cprb, outcome

LENGTH_FORMS = st.sampled_from((0, 1, 2, 4))
LONGEST = 12288


def length(number, form):
    return bytes((number,)) if form == 0 else bytes((0x80 + form,)) + number.to_bytes(form, "big")


def string(content, form=0):
    return b"\x04" + length(len(content), form) + content


def payload(body, form=0):
    return b"\x30" + length(len(body), form) + body


def request(content):
    header = bytearray(ep11_cprb().cprb[:32])
    header[28:32] = len(content).to_bytes(4, "big")
    return Ep11Request(bytes(header) + content)


@given(
    forms=st.tuples(LENGTH_FORMS, LENGTH_FORMS, LENGTH_FORMS),
    function_size=st.sampled_from((1, 2, 4)),
    domain_size=st.sampled_from((1, 2, 4)),
    domain=st.integers(0, 255),
    rest=st.binary(max_size=20),
)
def test_all_forms_that_linux_accepts(forms, function_size, domain_size, domain, rest):
    outer, first, second = forms
    function, old = (38).to_bytes(function_size, "big"), b"\xee" * domain_size
    made = request(payload(string(function, first) + string(old, second) + rest, outer))
    made.check(LONGEST)
    assert made.function == 38
    message = made.message(domain, LONGEST)
    expected = payload(string(function, first) + string(domain.to_bytes(domain_size, "big"), second) + rest, outer)
    assert message[88 + 32 : 88 + 32 + len(expected)] == expected
    assert message[88 + 12 : 88 + 16] == domain.to_bytes(4, "big")
    assert len(message) % 4 == 0


@st.composite
def spoilt(draw):
    """A payload with two numbers, of which bytes may be changed or missing: many of them are still accepted."""
    one, other = (string(draw(st.binary(min_size=1, max_size=4)), draw(LENGTH_FORMS)) for _ in range(2))
    content = bytearray(payload(one + other, draw(LENGTH_FORMS)))
    for place in draw(st.lists(st.integers(0, len(content) - 1), max_size=2)):
        content[place] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(5, len(content)))])


@given(spoilt() | st.binary(min_size=5, max_size=40))
def test_other_payloads_are_accepted_or_refused(content):
    for part in (function_part, domain_part):
        try:
            found = part(content)
        except BadValue:
            continue
        assert found is None or (found.size in (1, 2, 4) and found.end <= len(content))


@pytest.mark.parametrize(
    "content",
    [
        b"\x31\x06\x04\x04\0\0\0\x26",
        b"\x30\x06\x05\x04\0\0\0\x26",
        b"\x30\x07\x04\x04\0\0\0\x26",  # longer than what is there
        b"\x30\x06\x04\x05\0\0\0\x26",
        b"\x30\x05\x04\x03\0\0\x26",  # a number of three bytes
        b"\x30\x83\0\0\x06\x04\x04\0\0\0\x26",
        b"\x30\x80\x04\x04\0\0\0\x26",
        b"\x30\x02\x04\x00\x00",
        b"\x30\x84\0\0\0",
    ],
)
def test_payloads_that_linux_refuses(content):
    assert outcome(lambda: request(content).check(LONGEST)) == "EINVAL"


def test_a_payload_may_end_behind_the_function():
    made = request(payload(string(b"\0\0\0\x26")))
    made.check(LONGEST)
    assert made.message(6, LONGEST)[88 + 32 :] == payload(string(b"\0\0\0\x26"))


def test_a_domain_that_linux_cannot_overwrite():
    made = request(payload(string(b"\x26") + string(b"\0\0\6")))
    made.check(LONGEST)
    assert outcome(lambda: made.message(6, LONGEST)) == "EINVAL"


def test_the_payload_must_be_as_long_as_the_header_says():
    content = payload(string(b"\0\0\0\x26"))
    whole = request(content).cprb
    assert outcome(lambda: Ep11Request(whole + b"\0").check(LONGEST)) == "EINVAL"
    assert outcome(lambda: Ep11Request(whole[:-1]).check(LONGEST)) == "EINVAL"
