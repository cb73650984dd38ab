"""The number and mask grammars against models that go through the text character by character."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apmatrix.arch import Mask
from apmatrix.rules.refusals import BadValue, Refused, TooLarge
from apmatrix.rules.text import absolute_mask, boolean, mask_parameter, scanned_number, strict_number, written_mask

DIGITS = "0123456789abcdef"


def c_int(value: int) -> int:
    """What is left of a number in 32 bits with sign."""
    return int.from_bytes((value % 2**32).to_bytes(4, "big"), "big", signed=True)


numberlike = st.text("0123456789abfxX+- \n,", max_size=8)
termlike = st.lists(
    st.one_of(st.sampled_from(["+", "-", ",", "\n", "0x", "x", " "]), st.integers(0, 300).map(str)), max_size=9
).map("".join)


def outcome(parse, *arguments):
    try:
        return parse(*arguments)
    except Refused as refused:
        return type(refused)


def c_number(text: str, position: int) -> tuple[int | None, int]:
    """A number as C reads it with base 0: its value, None without digits, and where it ends."""
    base, start = 10, position
    if text[position : position + 1] == "0":
        base = 8
        if text[position + 1 : position + 2] in ("x", "X") and text[position + 2 : position + 3].lower() in tuple(
            DIGITS
        ):
            base, start = 16, position + 2
    end, value = start, 0
    while end < len(text) and text[end].lower() in DIGITS[:base]:
        value = value * base + DIGITS.index(text[end].lower())
        end += 1
    return (None, position) if end == start else (value, end)


def strict_model(text: str) -> int | type[Refused]:
    value, end = c_number(text, 1 if text[:1] == "+" else 0)
    if value is None:
        return BadValue
    if value >= 2**64:
        return TooLarge
    return value if text[end:] in ("", "\n") else BadValue


@given(numberlike)
@example("18446744073709551615")
@example("18446744073709551616zz")
@example("+0x\n")
def test_strict_numbers(text):
    assert outcome(strict_number, text) == strict_model(text)


def scanned_model(text: str, any_base: bool) -> int | type[Refused]:
    rest = text.lstrip(" \t\n\v\f\r\xa0")
    sign = -1 if rest[:1] == "-" else 1
    start = 1 if sign < 0 else 0
    if any_base:
        value, _ = c_number(rest, start)
    else:
        end = start
        while rest[end : end + 1] and rest[end] in "0123456789":
            end += 1
        value = int(rest[start:end]) if end > start else None
    return BadValue if value is None else c_int(sign * min(value, 2**64 - 1))


@given(numberlike, st.booleans())
@example("30abc", False)
@example("08", True)
@example("0x", True)
@example(" -0x1f", True)
@example("+4", True)
@example("4294967326", False)  # 2^32 + 30
@example("0x80000000", True)
@example("18446744073709551646", True)  # 2^64 + 30: over-long numbers do not wrap
@example("-18446744073709551646", False)
@example("\xa05", True)
def test_scanned_numbers(text, any_base):
    assert outcome(lambda: scanned_number(text, any_base=any_base)) == scanned_model(text, any_base)


def boolean_model(text: str) -> bool | type[Refused]:
    if text[:1] in tuple("yYtT1eE"):
        return True
    if text[:1] in tuple("nNfF0dD"):
        return False
    return {"on": True, "of": False}.get(text[:2].lower(), BadValue)


@given(st.text("yYtT1eEnNfF0dDoO2 \n", max_size=3))
def test_booleans(text):
    assert outcome(boolean, text) is boolean_model(text)


def relative_model(text: str, current: Mask) -> Mask | type[Refused]:
    chosen, position = set(current), 0
    while position < len(text):
        sign = text[position]
        if sign not in ("+", "-"):
            return BadValue
        first, position = c_number(text, position + 1)
        last = first
        if text[position : position + 1] == "-" and first is not None:
            last, position = c_number(text, position + 1)
        if first is None or last is None or first > 255 or last > 255 or first > last:
            return BadValue
        term = set(range(first, last + 1))
        chosen = chosen | term if sign == "+" else chosen - term
        while text[position : position + 1] in (",", "\n"):
            position += 1
    return Mask.of(*chosen)


@given(termlike, st.sampled_from([Mask(), ~Mask(), Mask.of(5, 6)]))
@example("+1-3-5\n", Mask())
@example("-5-5-5", ~Mask())
@example("-5,", ~Mask())
@example("+255-256", Mask())
@example("+0-0xff", Mask())
@example("-010-0x1F", ~Mask())
@example("+18446744073709551621", Mask())
def test_masks(text, current):
    expected = relative_model(text, current) if text[:1] in ("+", "-") else absolute_model(text)
    assert outcome(written_mask, text, current) == expected


def absolute_model(text: str) -> Mask | type[Refused]:
    rest = text[2:] if text[:2] == "0x" else text[1:] if text[:1] == "x" else text
    digits = rest[:-1] if rest[-1:] == "\n" else rest
    if len(digits) > 64 or any(digit.lower() not in DIGITS for digit in digits):
        return BadValue
    return Mask.of(*(number for number in range(4 * len(digits)) if int(digits[number // 4], 16) & 8 >> number % 4))


@given(st.text("0123456789abcdefABCDEFxX \n,", max_size=70))
@example("x41")
@example("0x" + "f" * 64 + "\n")
@example("f" * 65)
@example("")
def test_absolute_masks(text):
    assert outcome(absolute_mask, text) == absolute_model(text)


@given(st.text(max_size=10))
def test_boot_parameters_are_never_refused(text):
    found = mask_parameter(text)
    parsed = outcome(written_mask, text, Mask())
    assert found == (parsed if isinstance(parsed, Mask) else Mask())


@pytest.mark.parametrize("text", ["", "abc", "+", "5 5"])
def test_every_refusal_is_a_sentence_with_the_text(text):
    with pytest.raises(BadValue) as refused:
        strict_number(text)
    assert repr(text) in str(refused.value)
