"""Packets of the GDB remote protocol."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apmatrix.faces.gdb.wire import MAX_PACKET, Acknowledgement, Decoder, Packet, encode, expand

PLUS, MINUS = Acknowledgement.RECEIVED, Acknowledgement.AGAIN


def decode(*parts: bytes) -> list[object]:
    decoder = Decoder()
    return [found for part in parts for found in decoder.feed(part)]


def test_known_frames():
    assert encode(b"OK") == b"$OK#9a"
    assert encode(b"") == b"$#00"
    assert encode(b"a#b") == b"$a}\x03b#43"
    assert decode(b"+$OK#9a-") == [PLUS, Packet(b"OK"), MINUS]


@given(st.lists(st.binary(max_size=40), max_size=4), st.data())
def test_any_payload_survives_any_split(payloads, data):
    stream = b"+".join(encode(payload) for payload in payloads)
    parts = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        parts.append(stream[:size])
        stream = stream[size:]
    packets = [found for found in decode(*parts) if isinstance(found, Packet)]
    assert packets == [Packet(payload) for payload in payloads]


@given(st.binary(max_size=200))
def test_no_input_confuses_the_decoder_for_good(noise):
    decoder = Decoder()
    list(decoder.feed(noise))
    list(decoder.feed(b"#00"))
    assert list(decoder.feed(b"$OK#9a"))[-1] == Packet(b"OK")


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"0*~", b"0" * 98), (b"a0* b", b"a0000b"), (b"}\x03", b"#"), (b"x}]y", b"x}y")],
)
def test_escapes_and_run_lengths(body, expected):
    assert expand(body) == expected


@pytest.mark.parametrize("packet", [b"$OK#9b", b"$OK#zz", b"$*~#a8", b"$x}#f5"])
def test_damage_is_seen(packet):
    assert decode(packet) == [Packet(b"OK" if packet == b"$OK#9b" else b"", intact=False)]


def test_notifications_and_noise_are_passed_over():
    assert decode(b"hello%Stop:T05#00\n$OK#9a") == [Packet(b"OK")]


def test_a_frame_without_an_end_is_refused():
    decoder = Decoder()
    with pytest.raises(ValueError, match="without an end"):
        list(decoder.feed(b"$" + b"x" * (MAX_PACKET + 1)))
