import re
from enum import IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apmatrix.arch import Layout, Mask, bits, constant, flag, octets, text


class Colour(IntEnum):
    RED = 1
    BLUE = 2


class Word(Layout, width=32):
    top = flag(0)
    number = bits(4, 11)
    colour = bits(12, 15, Colour)
    low = bits(16, 31)


class Block(Layout, size=40):
    kind = octets(0, 1)
    length = octets(2, 2)
    name = text(4, 4)
    mask = octets(8, 32, Mask)


class Header(Layout, size=8):
    magic = constant(text(0, 4), b"AP\1")
    version = constant(bits(32, 35), 3)
    colour = constant(bits(36, 39, Colour), Colour.BLUE)
    length = octets(6, 2)


class Longer(Word, width=32):
    extra = flag(1)


word_fields = st.fixed_dictionaries(
    {
        "top": st.booleans(),
        "number": st.integers(0, 255),
        "colour": st.sampled_from(Colour),
        "low": st.integers(0, 65535),
    }
)


@given(word_fields)
def test_fields_sit_at_their_ibm_bit_numbers(fields):
    word = Word(**fields)
    expected = f"{fields['top']:b}000{fields['number']:08b}{fields['colour']:04b}{fields['low']:016b}"
    assert f"{word.value:032b}" == expected
    assert {name: getattr(word, name) for name in fields} == fields
    assert isinstance(word.colour, Colour)


@given(word_fields, word_fields)
def test_replace_changes_the_named_field_only(old, new):
    for name, content in new.items():
        changed = Word(**old).replace(**{name: content})
        assert {key: getattr(changed, key) for key in old} == {**old, name: content}


@given(st.binary(min_size=40, max_size=60))
def test_a_block_is_read_from_the_start_of_the_data(data):
    block = Block.parse(data)
    assert bytes(block) == data[:40]
    assert block.kind == data[0]
    assert block.length == int.from_bytes(data[2:4], "big")
    assert block.name == data[4:8]
    assert block.mask == Mask.from_bytes(data[8:40])
    assert Block(kind=block.kind, length=block.length, name=block.name, mask=block.mask) == Block.parse(
        data[:1] + b"\0" + data[2:40]
    )


def test_text_is_padded_on_the_right_and_never_cut():
    assert bytes(Block(name=b"ab"))[4:8] == b"ab\0\0"
    with pytest.raises(ValueError, match="longer than 4 bytes"):
        Block(name=b"abcde")


@pytest.mark.parametrize("fields", [{"number": 256}, {"number": -1}, {"low": 1 << 16}, {"colour": 16}, {"top": 2}])
def test_content_that_does_not_fit_is_refused_with_the_field(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        Word(**fields)


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_a_value_that_does_not_fit_is_refused(value):
    with pytest.raises(ValueError, match="32 bits"):
        Word(value)


def test_a_layout_knows_its_size():
    assert (Word.SIZE, Block.SIZE, Longer.SIZE) == (4, 40, 4)
    assert len(bytes(Block())) == Block.SIZE


def test_constants_are_filled_in():
    assert bytes(Header(length=0x1234)) == b"AP\1\0\x32\0\x12\x34"
    assert Header.parse(bytes(Header(length=0x1234))) == Header(length=0x1234)


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"aP\1\0\x32\0\0\0", "magic is b'aP"),
        (b"AP\1 \x32\0\0\0", "magic is b'AP"),
        (b"AP\1\0\x42\0\0\0", "version is 0x4 instead of 0x3"),
        (b"AP\1\0\x31\0\0\0", "colour is RED instead of BLUE"),
    ],
)
def test_parsing_checks_the_constants(data, wrong):
    with pytest.raises(ValueError, match=f"^Header: {re.escape(wrong)}"):
        Header.parse(data)
    assert bytes(Header.overlay(data + b"more")) == data


def test_constants_can_be_overwritten_and_are_not_invented_where_all_bits_are_given():
    assert Header(version=4).version == 4
    assert Header().replace(version=5).version == 5
    assert Header(0).value == 0


def test_subclasses_keep_the_constants_of_their_base():
    class Tagged(Header, size=8):
        tag = constant(octets(5, 1), 9)

    assert bytes(Tagged()) == b"AP\1\0\x32\x09\0\0"
    with pytest.raises(ValueError, match="tag is 0x0 instead of 0x9"):
        Tagged.parse(bytes(Header()))
    assert "tag" not in Header.CONSTANTS


def test_data_that_are_too_short_are_refused():
    with pytest.raises(ValueError, match="40 bytes, got 39"):
        Block.overlay(bytes(39))
    with pytest.raises(ValueError, match="40 bytes, got 39"):
        Block.parse(bytes(39))


def test_a_field_outside_the_layout_is_refused():
    with pytest.raises(ValueError, match="outside 0-7"):
        type("Narrow", (Layout,), {"wide": bits(4, 8)}, width=8)


def test_layouts_are_values():
    word = Word(number=7)
    with pytest.raises(AttributeError, match="replace"):
        word.number = 8
    with pytest.raises(AttributeError):
        del word.value
    assert word == Word(0x00700000)
    assert hash(word) == hash(Word(0x00700000))
    assert word != 0x00700000
    assert word != Longer(0x00700000)
    assert {word, Word(number=7)} == {word}
    assert word.__index__() == 0x00700000


def test_subclasses_keep_the_fields_of_their_base():
    longer = Longer(number=3, extra=True)
    assert longer.value == 0x40300000
    assert set(Longer.FIELDS) == {*Word.FIELDS, "extra"}


def test_printing_shows_the_word_and_what_is_set():
    assert repr(Word(0x00720005)) == "Word(00720005: number=0x7, colour=BLUE, low=0x5)"
    assert repr(Word(0)) == "Word(00000000: )"
    assert "mask=0x04" in repr(Block(mask=Mask.of(5)))
