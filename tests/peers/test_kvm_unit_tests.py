"""The AP series of kvm-unit-tests: what the s390 maintainers of KVM check of the three AP instructions."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from support.peers import Counted, copy, counts, need

pytestmark = [pytest.mark.peers, pytest.mark.timeout(1200)]
APMATRIX = Path(sys.executable).with_name("apmatrix")
CROSS = "s390x-linux-gnu-"


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """The test kernel, built."""
    need(f"{CROSS}gcc", "make", "qemu-system-s390x")
    tree = copy("kvm-unit-tests", tmp_path_factory.mktemp("build"))
    if not (tree / "s390x/ap.c").exists():
        pytest.skip("the checkout of kvm-unit-tests lacks the AP series: apply it (docs/peers.md)")
    for command in (["./configure", "--arch=s390x", f"--cross-prefix={CROSS}"], ["make", "s390x/ap.elf"]):
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return tree / "s390x/ap.elf"


@pytest.fixture(scope="module")
def machine_file(tmp_path_factory):
    """A machine with facility 65, a guest with a queue of its own, and its guest."""
    file = tmp_path_factory.mktemp("machine") / "machine.toml"
    file.write_text(
        "[machine]\nfacilities = [12, 15, 65, 76]\n"
        '[[adapter]]\nid = 5\ntype = "CEX8C"\n'
        '[[lpar]]\nname = "kvm1"\nadapters = "5"\nusage_domains = "4,6,7"\n[lpar.host]\naqmask = "-6,-7"\n'
        '[[lpar.guest]]\nname = "guest1"\nadapters = "5"\ndomains = "6,7"\nstart = true\n'
        '[lpar.guest.host]\naqmask = "-7"\n'
        '[[lpar.guest.guest]]\nname = "inner"\nadapters = "5"\ndomains = "7"\nstart = true\n'
    )
    return file


@pytest.mark.parametrize(
    ("run", "level"),
    [
        ("kvm-unit-tests/lpar", ("--lpar", "kvm1")),
        ("kvm-unit-tests/guest", ("--guest", "kvm1/guest1")),
        ("kvm-unit-tests/nested", ("--guest", "kvm1/guest1/inner")),
    ],
)
def test_ap(kernel, machine_file, run, level):
    command = [APMATRIX, "boot", machine_file, *level, "--kernel", kernel]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = Counter(re.findall(r"^(PASS|FAIL|SKIP): ap: ", done.stdout, re.MULTILINE))
    assert Counted(results["PASS"], results["FAIL"], results["SKIP"]) == counts()[run], done.stdout
