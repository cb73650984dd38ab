"""A real kernel still does what was recorded: some of the cases, as all take half an hour."""

import shutil

import pytest

from apmatrix.faces.boot import PackageError
from support.differential.booted import BootedSubject, build_agent
from support.differential.cases import cases
from support.differential.recording import RELEASE, read_recording
from support.differential.trial import Trial, boot

RECORDED = read_recording()
SOME = [line for line, seen in RECORDED.items() if line in cases() and len(seen) == 1][::15]
ATTEMPTS = 3
"""On a busy computer a trial may take the kernel for settled too early."""

PROGRAMS = {"qemu-system-s390x": "qemu-system-misc", "s390x-linux-gnu-gcc": "gcc-s390x-linux-gnu"}


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    for program, package in PROGRAMS.items():
        if not shutil.which(program):
            pytest.skip(f"{program} is missing: install {package}")
    try:
        booted = BootedSubject("sid", build_agent(tmp_path_factory.mktemp("agent")))
    except PackageError as error:
        pytest.skip(f"packages for s390x are not available: {error}")
    with booted:
        if not booted.release.startswith(RELEASE):
            pytest.skip(f"Debian sid has Linux {booted.release}, recorded was {RELEASE}")
        yield booted


@pytest.mark.long
def test_boot(subject):
    assert boot(subject)[1:] in RECORDED["boot"]


@pytest.mark.long
@pytest.mark.parametrize("line", SOME)
def test_case(subject, line):
    for _ in range(ATTEMPTS - 1):
        if Trial(subject, cases()[line]).run()[1:] in RECORDED[line]:
            return
    assert Trial(subject, cases()[line]).run()[1:] in RECORDED[line]
