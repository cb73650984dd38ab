"""``/dev/z90crypt`` and other device nodes, used by a native program."""

import json
import sys
from pathlib import Path

import pytest

from .place import missing
from .test_run import sh

ROOT = Path(__file__).parents[2]
HOST = str(ROOT / "tests/data/clients/host.toml")
CLIENT = f"{sys.executable} {Path(__file__).with_name('zcrypt_client.py')}"

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


def ask(*steps, node="z90crypt", before="true"):
    """What the program gets for each step."""
    words = " ".join(f"'{step}'" for step in steps)
    out = sh(f"{before} && {CLIENT} {node} {words}", file=HOST)
    return [json.loads(line) for line in out.splitlines()]


def test_cards_compute():
    assert ask("right", "many") == [True, True]


def test_facts_about_the_bus():
    """The default domain, the number of open nodes, and the cards that are there."""
    assert ask("domain", "opens", "mask") == [[0, 4], [0, 1], [0, [5, 6]]]


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("no room", "EINVAL"),
        ("bad input", "EFAULT"),
        ("bad output", "EFAULT"),
        ("bad block", "EFAULT"),
        ("bad cprb", "EFAULT"),
        ("mask nowhere", "EFAULT"),
        ("unknown", "ENOTTY"),
        ("other magic", "ENOTTY"),
    ],
)
def test_errors_are_the_kernels(step, error):
    assert ask(step, "right") == [error, True]


def test_without_a_queue_of_the_hosts_there_is_nothing_to_compute_with():
    assert ask("right", before="/bin/echo -5,-6 > /sys/bus/ap/apmask") == ["ENODEV"]


def test_a_node_of_ones_own_allows_what_its_masks_say():
    """Nothing at first, then the ioctl, then the queues; the node is there at once, and gone at once."""
    make = "/bin/echo mine > /sys/class/zcrypt/create"
    masks = "cd /sys/class/zcrypt/mine"
    assert ask("right", node="mine", before=make) == ["EPERM"]
    assert ask("right", node="mine", before=f"{make} && {masks} && /bin/echo +5 > ioctlmask") == ["ENODEV"]
    allowed = f"{make} && {masks} && /bin/echo +5 > ioctlmask && /bin/echo +6 > apmask && /bin/echo +4 > aqmask"
    assert ask("right", "domain", node="mine", before=allowed) == [True, ["EPERM", -7]]
    assert sh(f"{make}; /bin/echo mine > /sys/class/zcrypt/destroy; ls /dev/mine || echo gone", file=HOST) == "gone\n"


def test_a_destroyed_node_goes_on_working_for_who_has_it_open():
    script = (
        "/bin/echo mine > /sys/class/zcrypt/create; exec 9<> /dev/mine;"
        "/bin/echo mine > /sys/class/zcrypt/destroy; ls -L /proc/self/fd/9 > /dev/null && echo open"
    )
    assert sh(script, file=HOST) == "open\n"


def test_several_programs_at_once():
    many = f"{CLIENT} z90crypt many right"
    out = sh(f"for i in 1 2 3 4 5 6; do {many} & done; wait", file=HOST)
    assert out.count("true") == 12


def test_random_numbers():
    out = sh(
        "head -c 5000 /dev/hwrng | wc -c; cat /sys/class/misc/hw_random/rng_current; cat /dev/z90crypt; true",
        file=HOST,
    )
    assert out == "5000\nzcrypt\n"


def test_a_guests_program_uses_the_guests_queues():
    """The same node name in a guest leads to the guest's own system."""
    out = sh(f"{CLIENT} z90crypt right mask", "--guest", "guest2")
    assert [json.loads(line) for line in out.splitlines()] == [True, [0, [5]]]
