import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from apmatrix.arch import CardFunctions
from support.messages import vectors
from support.queues import exchange, make_adapter

FORMATS = {1024: (128, 0x01, 0x11), 2048: (256, 0x02, 0x12), 4096: (512, 0x03, 0x13)}


def refusal(code):
    return bytes((0, 0x82, 0, 0, code, 0, 0, 0))


def modexpo(size, form, exponent, modulus, value):
    return header(16 + 3 * size, form) + b"".join(
        number.to_bytes(size, "big") for number in (exponent, modulus, value)
    )


def crt(size, form, key, value):
    half = size // 2
    operands = b"".join(number.to_bytes(half, "big") for number in key)
    return header(16 + 5 * half + size, form) + operands + value.to_bytes(size, "big")


def header(length, form):
    return bytes((0, 0x50)) + length.to_bytes(2, "big") + bytes(4) + form.to_bytes(2, "big") + bytes(6)


@pytest.mark.parametrize("bits", FORMATS)
def test_key_of_each_size_there_and_back(bits):
    size, modexpo_format, crt_format = FORMATS[bits]
    numbers = rsa.generate_private_key(65537, bits).private_numbers()
    modulus = numbers.p * numbers.q
    adapter = make_adapter("CEX7A")
    value = int.from_bytes(b"apmatrix" * (size // 8 - 1), "big")
    reply = exchange(adapter, modexpo(size, modexpo_format, 65537, modulus, value))
    assert reply[:4] == bytes((0, 0x80)) + (16 + size).to_bytes(2, "big")
    cipher = int.from_bytes(reply[16:], "big")
    assert cipher == pow(value, 65537, modulus)
    key = (numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
    reply = exchange(adapter, crt(size, crt_format, key, cipher))
    assert len(reply) == 16 + size
    assert int.from_bytes(reply[16:], "big") == value


def test_primes_in_the_wrong_order_give_the_same_result():
    p, q = 53, 61
    reply = exchange(make_adapter("CEX7A"), crt(128, 0x11, (p, q, 49, 53, pow(q, -1, p)), 2790))
    assert int.from_bytes(reply[16:], "big") == 65


def changed(name, offset, byte):
    message = bytearray(vectors()[name])
    message[offset] = byte
    return bytes(message)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (vectors()["MV-1"][:-1], 0x23),
        (vectors()["MV-1"] + b"\0", 0x23),
        (vectors()["MV-1"][:15], 0x23),
        (changed("MV-1", 3, 0x8F), 0x23),
        (changed("MV-1", 9, 0x04), 0x29),
        (changed("MV-1", 9, 0x02), 0x23),
        (b"\0", 0x20),
        (b"", 0x20),
        (modexpo(128, 1, 17, 3234, 65), 0x85),
        (modexpo(128, 1, 17, 3233, 3233), 0x82),
        (modexpo(128, 1, 17, 0, 0), 0x82),
        (crt(128, 0x11, (62, 53, 53, 49, 38), 65), 0x85),
        (crt(128, 0x11, (61, 53, 53, 49, 37), 65), 0x82),
        (crt(128, 0x11, (61, 0, 53, 49, 38), 65), 0x82),
        (crt(128, 0x11, (61, 53, 53, 49, 38), 3233), 0x82),
    ],
)
def test_malformed_request_is_refused(message, code):
    assert exchange(make_adapter("CEX7A"), message) == refusal(code)


@pytest.mark.parametrize(("functions", "form"), [(0x2A800000, 3), (0x4A800000, 0x13)], ids=["no M", "no C"])
def test_4k_needs_the_facility_bit(functions, form):
    adapter = make_adapter("CEX7A", functions=CardFunctions(functions))
    message = modexpo(512, 3, 17, 3233, 65) if form == 3 else crt(512, 0x13, (61, 53, 53, 49, 38), 2790)
    assert exchange(adapter, message) == refusal(0x29)
    assert len(exchange(make_adapter("CEX7A"), message)) == 528
