"""Numbers that may be meant otherwise than they are read."""

import pytest

from apmatrix.arch import Apqn
from apmatrix.rules.readings import apqn_doubt, octal_doubts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0047", ["0047 is octal 39; domain 0x47 is 71: write 39, 47 or 0x47, whichever is meant"]),
        ("-0047,+0x47,47", ["0047 is octal 39; domain 0x47 is 71: write 39, 47 or 0x47, whichever is meant"]),
        ("5,05,007,0,00,0xab,0x010,0089,00ab", []),
        ("0777", []),  # outside 0-255: an error
    ],
)
def test_octal_numbers_that_would_be_others_without_zeros(text, expected):
    assert list(map(str, octal_doubts(text))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("05.71", "05.0071 is domain 113; domain 71 is 05.0047"),
        ("05.0071", "05.0071 is domain 113; domain 71 is 05.0047"),
        ("10.0010", "10.0010 is adapter 16 and domain 16; adapter 10 and domain 10 is 0a.000a"),
        ("05.0004", ""),
        ("05.00ab", ""),
        ("0a.0010", ""),
    ],
)
def test_digits_of_an_apqn_that_may_be_decimal(text, expected):
    assert apqn_doubt(text, Apqn.parse(text)) == expected
