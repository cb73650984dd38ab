"""The emulated Linux does what a real 7.2 kernel was seen to do, for each fault."""

import difflib

import pytest

from support.differential.cases import cases
from support.differential.emulated import EmulatedSubject
from support.differential.recording import read_recording
from support.differential.trial import Trial, boot

CASES = cases()
RECORDED = read_recording()


def difference(expected, got):
    """The differences with what is around them; empty if there are none."""
    return "\n".join(difflib.unified_diff(expected, got, "real kernel", "emulated", n=100, lineterm=""))


@pytest.fixture
def subject():
    made = EmulatedSubject()
    yield made
    made.close()


def check(case, seen):
    if seen not in RECORDED[case]:
        pytest.fail(difference(RECORDED[case][0], seen), pytrace=False)


def test_boot(subject):
    check("boot", boot(subject)[1:])


def test_every_case_is_recorded():
    assert [case for case in CASES if case not in RECORDED] == []


@pytest.mark.parametrize("line", CASES)
def test_case(subject, line):
    check(line, Trial(subject, CASES[line]).run()[1:])
