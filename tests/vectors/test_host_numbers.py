"""Vectors V54 to V61: numbers and their ranges (host.md 8.5); H1, a fresh mdev."""

import pytest

CASES = {
    "V54": [("assign_adapter", text, "ok", "05.") for text in ("5\n", "5", "0x5\n", "05\n", "005\n", "+5\n")],
    "V55": [("assign_adapter", "010\n", "ok", "08.")],
    "V56": [
        ("assign_adapter", text, "EINVAL", "")
        for text in ("08\n", "-5\n", " 5\n", "5 \n", "5\n\n", "\n", "0x\n", "5,6\n", "abc\n", "0b1\n")
    ],
    "V57": [("assign_adapter", "63\n", "ok", "3f."), ("assign_adapter", "64\n", "ENODEV", "")],
    "V58": [
        ("assign_adapter", "18446744073709551615", "ENODEV", ""),
        ("assign_adapter", "18446744073709551616", "ERANGE", ""),
    ],
    "V59": [("assign_domain", "255", "ok", ".00ff"), ("assign_domain", "256", "ENODEV", "")],
    "V60": [("unassign_adapter", "64", "ENODEV", ""), ("unassign_adapter", "7", "ok", "")],
}


@pytest.mark.parametrize(
    ("attribute", "text", "answer", "matrix"),
    [case for cases in CASES.values() for case in cases],
    ids=[f"{number}-{index}" for number, cases in CASES.items() for index, _ in enumerate(cases)],
)
def test_numbers(mdev, attribute, text, answer, matrix):
    assert mdev.write(attribute, text) == answer
    assert mdev.matrix == matrix


@pytest.mark.parametrize(
    "attribute",
    ["assign_domain", "unassign_adapter", "unassign_domain", "assign_control_domain", "unassign_control_domain"],
)
@pytest.mark.parametrize(
    ("text", "answer"),
    [(text, answer) for _, text, answer, _ in [*CASES["V56"], *CASES["V58"]]],
    ids=[f"V56-{index}" for index in range(10)] + ["V58-0", "V58-1"],
)
def test_every_attribute_reads_numbers_alike(mdev, attribute, text, answer):
    assert mdev.write(attribute, text) == answer
    assert (mdev.matrix, mdev.control_domains) == ("", "")


def test_V61_twice_is_no_error(mdev):
    assert (mdev.write("assign_adapter", "5"), mdev.write("assign_adapter", "5")) == ("ok", "ok")
    assert mdev.matrix == "05."
