"""The AP series of kvm-unit-tests: what the s390 maintainers of KVM check of the three AP instructions."""

import subprocess

import pytest

from support.peers import Counted, copy, counts, need

pytestmark = [pytest.mark.peers, pytest.mark.timeout(1200)]
CROSS = "s390x-linux-gnu-"


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """The test kernel, built."""
    need(f"{CROSS}gcc", "make")
    tree = copy("kvm-unit-tests", tmp_path_factory.mktemp("build"))
    if not (tree / "s390x/ap.c").exists():
        pytest.skip("the checkout of kvm-unit-tests lacks the AP series: apply it (docs/peers.md)")
    for command in (["./configure", "--arch=s390x", f"--cross-prefix={CROSS}"], ["make", "s390x/ap.elf"]):
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return tree / "s390x/ap.elf"


def test_it_builds(kernel):
    assert counts()["kvm-unit-tests/build"] == Counted(passed=int(kernel.is_file()))
