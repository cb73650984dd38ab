import pytest
from hypothesis import given
from hypothesis import strategies as st

from apmatrix.arch import ALL_BITS, NO_BITS, Mask
from apmatrix.arch.mask import parse_number
from support.strategies import masks, number_sets, numbers


@given(number_sets)
def test_bit_0_is_the_leftmost_of_32_bytes(chosen):
    data = bytearray(32)
    for number in chosen:
        data[number // 8] |= 0x80 >> number % 8
    mask = Mask.of(*chosen)
    assert mask.to_bytes() == bytes(data)
    assert Mask.from_bytes(bytes(data)) == mask
    assert str(mask) == "0x" + data.hex()


@given(masks)
def test_every_form_leads_back_to_the_mask(mask):
    assert Mask.parse_hex(str(mask)) == mask
    assert Mask.parse_ids(mask.ranges()) == mask
    assert Mask.from_bytes(mask.to_bytes()) == mask
    assert Mask.of(*mask) == mask
    assert eval(repr(mask), {"Mask": Mask}) == mask
    assert hash(Mask(mask.value)) == hash(mask)


@given(number_sets, number_sets)
def test_operations_are_those_of_sets(left, right):
    a, b = Mask.of(*left), Mask.of(*right)
    assert set(a & b) == left & right
    assert set(a | b) == left | right
    assert set(a ^ b) == left ^ right
    assert set(a - b) == left - right
    assert set(~a) == set(range(256)) - left
    assert (a <= b) == (left <= right)
    assert a.overlaps(b) == bool(left & right)
    assert len(a) == len(left)
    assert bool(a) == bool(left)
    assert (a == b) == (left == right)


@given(masks, numbers)
def test_membership_follows_the_iteration(mask, number):
    assert (number in mask) == (number in list(mask))
    assert list(mask) == sorted(set(mask))


@pytest.mark.parametrize("number", [-1, 256, 1 << 70])
def test_numbers_outside_are_no_members_and_cannot_be_set(number):
    assert number not in ALL_BITS
    with pytest.raises(ValueError, match="outside 0-255"):
        Mask.of(5, number)


@pytest.mark.parametrize("value", [-1, 1 << 256])
def test_a_mask_has_256_bits(value):
    with pytest.raises(ValueError, match="256 bits"):
        Mask(value)


@pytest.mark.parametrize(("last", "count"), [(-5, 0), (-1, 0), (0, 1), (15, 16), (254, 255), (255, 256), (900, 256)])
def test_up_to_counts_from_the_left(last, count):
    assert list(Mask.up_to(last)) == list(range(count))


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("0x41", [1, 7]),
        ("5", [1, 3]),
        ("0X80", [0]),
        ("0x" + "0" * 63 + "1", [255]),
        ("f" * 64, list(range(256))),
        ("0xAb", [0, 2, 4, 6, 7]),
    ],
)
def test_hexadecimal_digits_fill_from_the_left(text, bits):
    assert list(Mask.parse_hex(text)) == bits


@pytest.mark.parametrize("text", ["", "0x", "0x" + "0" * 65, "0xg", " 0x1", "0x1 ", "0x1\n", "-1", "0x_1"])
def test_what_is_no_hexadecimal_mask_is_refused(text):
    with pytest.raises(ValueError, match="not a mask"):
        Mask.parse_hex(text)


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("", []),
        ("5,6", [5, 6]),
        ("4, 0x47 ,0253,1-3", [1, 2, 3, 4, 0x47, 0o253]),
        ("0-0", [0]),
        ("0x0e - 0x10", [14, 15, 16]),
        ("255,0", [0, 255]),
        ("7,7,6-8", [6, 7, 8]),
        (",5,,", [5]),
    ],
)
def test_numbers_and_ranges(text, bits):
    assert list(Mask.parse_ids(text)) == bits


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("5,6x", "6x"),
        ("3-1", "3-1"),
        ("256", "256"),
        ("1-0x100", "0x100"),
        ("08", "08"),
        ("5-", "5-"),
        ("+5", "+5"),
        ("0x", "0x"),
    ],
)
def test_the_part_that_is_wrong_is_named(text, named):
    with pytest.raises(ValueError) as caught:
        Mask.parse_ids(text)
    assert named in str(caught.value)


def test_ranges_join_neighbours_only():
    assert Mask.of(0, 2, 3, 5, 6, 7, 255).ranges() == "0,2-3,5-7,255"
    assert ALL_BITS.ranges() == "0-255"
    assert NO_BITS.ranges() == ""


@pytest.mark.parametrize(
    ("text", "number"), [("4", 4), ("0xAB", 0xAB), ("0253", 0o253), ("0", 0), ("00", 0), (" 9 ", 9)]
)
def test_numbers_are_read_as_the_kernel_does(text, number):
    assert parse_number(text) == number


@given(st.text(max_size=6))
def test_any_text_is_a_number_or_a_value_error(text):
    try:
        assert 0 <= parse_number(text) <= 255
    except ValueError as error:
        assert str(error)  # noqa: PT017 - both ways are right


def test_a_mask_cannot_be_changed():
    mask = Mask.of(5)
    with pytest.raises(AttributeError):
        mask.value = 0
    assert mask != 5
    assert mask.value != 5


@given(st.binary(max_size=40))
def test_bytes_that_are_missing_are_zero(data):
    assert Mask.from_bytes(data).to_bytes() == data[:32].ljust(32, b"\0")
