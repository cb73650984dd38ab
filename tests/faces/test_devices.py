"""``/dev/z90crypt`` and other device nodes, used by a native program."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.background import machine_process

from .place import missing
from .test_run import PROGRAM, sh

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


@pytest.fixture(scope="module")
def nesting(tmp_path_factory):
    """A machine in the background, for commands in commands."""
    state = tmp_path_factory.mktemp("state")
    state.chmod(0o700)
    environment = {**os.environ, "APMATRIX_STATE": str(state)}
    assert subprocess.run([PROGRAM, "up", HOST], env=environment, capture_output=True).returncode == 0
    yield environment
    subprocess.run([PROGRAM, "down", "host"], env=environment, capture_output=True, check=True)


INSIDE = [PROGRAM, "run", "--machine", "host", "--"]
OTHER_NUMBERS = ["unshare", "-pf", "--mount-proc", *([] if os.geteuid() == 0 else ["-r"])]


@pytest.mark.parametrize(
    "words", [[*INSIDE, *INSIDE], [*OTHER_NUMBERS, *INSIDE], [*INSIDE, *OTHER_NUMBERS], [*INSIDE, *INSIDE, *INSIDE]]
)
def test_cards_compute_in_any_pid_namespace(nesting, words):
    """The machine finds the caller whatever number it has in its own namespace."""
    words = [*words, *CLIENT.split(), "z90crypt", "right", "bad output"]
    done = subprocess.run(words, env=nesting, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ('true\n"EFAULT"\n', "")


def test_names_of_nodes_take_nothing_away():
    script = (
        "cd /sys/class/zcrypt;"
        "for name in null tty urandom ..v ..!v ..!..!v . a!b; do /bin/echo $name > create; done;"
        "/bin/echo remove > /sys/class/misc/z90crypt/uevent;"
        "test -L /dev/a/b && test -L /dev/z90crypt || echo no links;"
        "for name in null tty urandom ..v ..!v ..!..!v . a!b; do /bin/echo $name > destroy; done;"
        "test -L /dev/a/b && echo link left; for name in null tty urandom; do test -c /dev/$name || echo $name; done"
    )
    assert sh(script, file=HOST) == ""


def test_a_large_structure_is_as_unknown_as_a_small_one():
    """The kernel passes on as many bytes as the number states."""
    code = (
        "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True); file = os.open('/dev/z90crypt', os.O_RDWR);"
        "room = ctypes.create_string_buffer(1 << 14);"
        "print([(libc.ioctl(file, ctypes.c_ulong(direction << 30 | size << 16 | 0x7A7F), room), ctypes.get_errno())"
        " for direction in (1, 2, 3) for size in (8, 12216, 12217, 16383)])"
    )
    out = sh(f'{sys.executable} -c "{code}"', file=HOST)
    assert out == f"{[(-1, errno.ENOTTY)] * 12}\n"


def test_storage_that_the_machine_itself_has_to_bring_in():
    """The caller's page is a private mapping of a file below /sys, which is only read while the ioctl fetches it."""
    code = (
        "import ctypes, mmap, os; libc = ctypes.CDLL(None); file = os.open('/dev/z90crypt', os.O_RDWR);"
        "attribute = os.open('/sys/bus/ap/ap_domain', os.O_RDONLY);"
        "area = mmap.mmap(attribute, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE);"
        "start = ctypes.addressof(ctypes.c_char.from_buffer(area));"
        "print(libc.ioctl(file, ctypes.c_ulong(0x80047A47), ctypes.c_void_p(start)), area[0])"
    )
    assert sh(f'{sys.executable} -c "{code}"', file=HOST) == "0 4\n"


STUCK = f"{sys.executable} {Path(__file__).with_name('stuck.py')}"
LOST = f"{PROGRAM} fault add lose=held > /dev/null && "


@pytest.mark.parametrize("uses", [["rsa"], ["random"], ["random"] * 3, ["rsa", "random"] * 4])
def test_whatever_waits_for_a_card_can_be_killed(uses):
    out = sh(f"{LOST} {STUCK} {' '.join(uses)}", file=HOST)
    assert json.loads(out) == [-signal.SIGKILL] * len(uses)


def test_a_command_ends_whatever_its_programs_wait_for(nesting):
    """And the machine no longer works for them: its threads end."""
    machine = machine_process(Path(nesting["APMATRIX_STATE"], "host"))

    def threads():
        return len(list(Path(f"/proc/{machine}/task").iterdir()))

    before = threads()
    words = [*INSIDE, "sh", "-c", f"{LOST} LEAVE=1 {STUCK} rsa rsa rsa random random"]
    done = subprocess.run(words, env=nesting, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("left\n")
    assert done.returncode == 0
    subprocess.run([PROGRAM, "fault", "remove", "--machine", "host"], env=nesting, capture_output=True)
    patience = time.monotonic() + 60
    while threads() > before and time.monotonic() < patience:
        time.sleep(0.05)
    assert threads() <= before


def test_files_have_no_position_or_cannot_be_written():
    """zcrypt nodes are streams, and the random number generator is only read."""
    program = (
        "import errno, os\n"
        "def tried(call, *arguments):\n"
        "    try:\n"
        "        return call(*arguments)\n"
        "    except OSError as error:\n"
        "        return errno.errorcode[error.errno]\n"
        "node, rng = os.open('/dev/z90crypt', os.O_RDWR), os.open('/dev/hwrng', os.O_RDONLY)\n"
        "print(tried(os.lseek, node, 0, 0), tried(os.pread, node, 1, 0), tried(os.read, node, 1))\n"
        "print(*(tried(os.open, '/dev/hwrng', how) for how in (os.O_WRONLY, os.O_RDWR)), len(os.read(rng, 8)))\n"
    )
    done = sh(f'{sys.executable} -c "{program}"', file=HOST)
    assert done == "ESPIPE ESPIPE EPERM\nEINVAL EINVAL 8\n"
