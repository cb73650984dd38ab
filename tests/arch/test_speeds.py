"""The speed table is the one of hardware.md 9.1."""

import re
from pathlib import Path

import pytest

from apmatrix.arch import CardType, Mode
from apmatrix.arch.speeds import RATINGS, Work, rating, rsa_work

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "hardware.md"
ROWS = re.findall(r"^\| (CEX\d) \| ([\d ]+) \| ([\d ]+) \| (\d+) \|$", REFERENCE.read_text(), re.MULTILINE)


@pytest.mark.parametrize(("card", "accelerator", "cca", "ep11"), ROWS, ids=[row[0] for row in ROWS])
def test_the_table_is_that_of_the_reference(card, accelerator, cca, ep11):
    columns = {Mode.ACCELERATOR: accelerator, Mode.CCA: cca, Mode.EP11: "0 " * 7 + ep11}
    for mode, column in columns.items():
        hardware_type = CardType.parse(card + mode.value).hardware_type
        assert [rating(hardware_type, mode, work) for work in Work] == [int(number) for number in column.split()]


def test_there_is_a_row_for_every_card():
    assert len(RATINGS) == 3 * len(ROWS) == 15


@pytest.mark.parametrize(
    ("length", "me", "crt"),
    [
        (128, Work.MODEXPO_1K, Work.CRT_1K),
        (129, Work.MODEXPO_2K, Work.CRT_2K),
        (256, Work.MODEXPO_2K, Work.CRT_2K),
        (257, Work.MODEXPO_4K, Work.CRT_4K),
    ],
)
def test_a_modulus_counts_as_the_next_longer_one_of_the_table(length, me, crt):
    assert (rsa_work(length, crt=False), rsa_work(length, crt=True)) == (me, crt)
