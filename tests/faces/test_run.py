"""``apmatrix run``: what a command sees, its exit code, and that nothing else changes and nothing stays."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support.processes import core_limits, output

from .place import missing

ROOT = Path(__file__).parents[2]
APMATRIX = [str(Path(sys.executable).with_name("apmatrix"))]
PROGRAM = APMATRIX[0]
THREE = str(ROOT / "examples/three-guests.toml")
NESTED = str(ROOT / "examples/nested.toml")

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


def run(*words, file=THREE, prefix=(), **options):
    return subprocess.run(
        [*prefix, *APMATRIX, "run", *([file] if file else []), *words],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def sh(script, *options, **more):
    """What a shell script prints in there."""
    done = run(*options, "--", "sh", "-c", script, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def names(directory):
    return sorted(entry.name for entry in Path(directory).iterdir())


# Other tests install packages meanwhile, so the system's directories are not compared as a whole.
CHANGED = (
    *("/etc/hostname", "/etc/new", "/etc/mdevctl.d/matrix/new", "/run/new", "/run/apmatrix"),
    *("/usr/new", "/usr/local/new", "/usr/local/bin", "/var/lib/new"),
)


def snapshot():
    """What a command in there must not change."""
    devices = {entry.name: os.lstat(entry.path) for entry in os.scandir("/dev")}
    return (
        Path("/proc/self/mountinfo").read_text(),
        {name: (found.st_mode, found.st_uid, found.st_gid, found.st_rdev) for name, found in devices.items()},
        [path for path in CHANGED if Path(path).exists()],
        names("/sys/bus"),
    )


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + signal.SIGTERM), ("kill -KILL $$", 128 + signal.SIGKILL)],
)
def test_the_exit_code_is_the_commands(script, code):
    assert run("--", "sh", "-c", script).returncode == code


@pytest.mark.parametrize(("command", "code"), [("/nothing/there", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_be_run(command, code):
    done = run("--", command)
    assert done.returncode == code
    assert done.stderr.startswith(f"apmatrix: {command}: ")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (
            ["--guest", "nobody", "--", "true"],
            2,
            "there is no guest nobody: the guests are kvm1/guest1",
        ),
        (["--"], 2, "no COMMAND given"),
    ],
)
def test_what_is_wrong_is_a_sentence(words, code, text):
    done = run(*words)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_the_host_sees_its_cards_and_nothing_else_changes():
    before = snapshot()
    out = sh("ls /sys/bus/ap/devices; cat /sys/bus/ap/apmask; ls /sys/block /sys/class/net; echo $APMATRIX_MACHINE")
    assert "card05\n" in out
    assert f"0xf9{'f' * 62}\n" in out
    assert out.endswith("lo\nthree-guests\n")
    assert snapshot() == before


@pytest.mark.parametrize(
    ("guest", "queues"),
    [
        ("guest1", ["05.0004", "05.00ab", "06.0004", "06.00ab"]),
        ("guest2", ["05.0047", "05.00ff"]),
        ("guest3", ["06.0047", "06.00ff"]),
    ],
)
def test_each_guest_sees_its_own_queues(guest, queues):
    out = sh("cd /sys/bus/ap/devices; echo ??.????; cat ../apmask", "--guest", guest)
    assert out.split("\n")[0].split() == queues
    assert out.endswith(f"0x{'f' * 64}\n")


def test_a_guest_of_a_guest():
    text = Path(NESTED).read_text()
    innermost = re.findall(r'^\s*name = "(.+)"', text, re.MULTILINE)[-1]
    out = sh("ls /sys/bus/ap/devices", "--guest", innermost, file=NESTED)
    assert re.search(r"^card..$", out, re.MULTILINE)


def test_whatever_the_command_does_nothing_else_changes():
    """Root in there changes modes, files and mounts."""
    before = snapshot()
    out = sh(
        "chmod 0 /dev/null /dev/random; rm /dev/zero; mknod /dev/new c 1 3; echo x > /etc/new; rm -f /etc/hostname;"
        "mkdir -p /etc/mdevctl.d/matrix/new /run/new; mount -t tmpfs tmpfs /mnt; cat /etc/new;"
        "echo 0 > /sys/class/net/lo/mtu; ls /sys/class/block > /dev/full;"
        "for file in /sys/block/*/uevent; do echo add > $file; done;"
        "touch /usr/new /usr/local/new /var/lib/new && cat /usr/new && rm -r /usr/local/bin; true"
    )
    assert out == "x\n"
    assert snapshot() == before


@pytest.mark.parametrize("directory", ["/etc", "/usr/local"])
def test_nothing_else_changes_from_where_one_stands(directory):
    """A name without a slash is the place's, too."""
    before = snapshot()
    out = sh("pwd; test ! -w . || mkdir new", cwd=directory)
    assert out == f"{directory}\n"
    assert snapshot() == before


def test_a_place_in_a_place():
    """Layers can be stacked twice only: of /usr, which is covered already, no more is asked than that it stays so."""
    before = snapshot()
    inner = f"{PROGRAM} run {NESTED} -- sh -c 'ls /sys/bus/ap/devices; test ! -w /usr || touch /usr/new'"
    assert "07.0004" in sh(inner)
    assert snapshot() == before


def test_a_directory_below_var_that_one_works_in_is_ones_own():
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        sh("echo result > result", cwd=directory)
        assert (Path(directory) / "result").read_text() == "result\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who has the state of machines in /var")
def test_machines_in_the_background_are_seen_from_inside():
    """Their directory stays the real one, below what is covered."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        environment = {**os.environ, "APMATRIX_STATE": f"{directory}/state"}
        done = subprocess.run([PROGRAM, "up", NESTED], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        try:
            out = sh("apmatrix status nested; touch $APMATRIX_STATE/new", env=environment)
            assert out.startswith("nested  running")
            assert (Path(directory) / "state/new").exists()
        finally:
            subprocess.run([PROGRAM, "down", "nested"], env=environment, check=True, capture_output=True)


def test_the_real_kernel_gets_no_modules_and_no_other_time():
    """CAP_SYS_MODULE and CAP_SYS_TIME are gone for good, also for root."""
    out = sh("grep CapBnd /proc/self/status; ls -ld --time-style=+%Y /sys/bus/ap/apmask")
    bounding = int(out.split()[1], 16)
    assert not bounding & (1 << 16 | 1 << 25)
    assert " 1970 " not in out


def test_real_devices_are_there_and_read_only():
    devices = names("/sys/block")
    if not devices:
        pytest.skip("this computer has no block device")
    out = sh(
        f"cat /sys/block/{devices[0]}/size; touch /sys/block/{devices[0]}/uevent || echo refused; ls /sys/class/block"
    )
    size, refused, *listed = out.splitlines()
    assert size == Path(f"/sys/block/{devices[0]}/size").read_text().strip()
    assert refused == "refused"
    assert devices[0] in listed


def test_a_guest_is_stopped_and_started_from_inside():
    status = "cat /sys/bus/ap/devices/05.0047/status"
    out = sh(f"{status}; {PROGRAM} guest stop guest2; {status}; {PROGRAM} guest start guest2; {status}")
    assert out == "in use\nkvm1/guest2 stopped\nassigned\nkvm1/guest2 started\nin use\n"


def test_a_guest_by_uuid():
    uuid = "94c662cd-0000-4000-8000-31dbd8dcb35f"
    guest = f"{PROGRAM} guest"
    out = sh(
        f"cd /sys/devices/vfio_ap/matrix; echo {uuid} > mdev_supported_types/vfio_ap-passthrough/create;"
        f"{guest} start {uuid} && {guest} list; {guest} start {uuid}; echo $?;"
        f"{PROGRAM} run --machine $APMATRIX_MACHINE --guest {uuid} -- cat /sys/bus/ap/apmask;"
        f"{guest} stop {uuid}; {guest} stop {uuid}; echo $?"
    )
    lines = out.splitlines()
    assert lines[0] == f"kvm1/{uuid} started"
    assert f"kvm1/{uuid}  {uuid}  running" in lines
    assert lines[-4:] == ["3", f"0x{'f' * 64}", f"kvm1/{uuid} stopped", "3"]


def test_the_machine_is_changed_from_inside():
    apmatrix = PROGRAM
    out = sh(
        f"cd /sys/bus/ap; {apmatrix} lpar set kvm1 --adapters 5; echo 1 > scans; ls devices | grep card;"
        f"{apmatrix} adapter set 5 --state deconfigured; echo 1 > scans; cat devices/card05/config;"
        f"{apmatrix} adapter set 9 --state online; echo $?; {apmatrix} lpar set kvm1 --adapters 5,300; echo $?"
    )
    lines = out.splitlines()
    assert lines[0].startswith("kvm1: adapters 5, usage domains ")
    assert lines[1:] == ["card05", "adapter 5: deconfigured", "0", "2", "2"]


def test_apmatrix_is_in_the_path_and_knows_its_machine():
    out = sh("apmatrix status && apmatrix show", env=os.environ | {"PATH": "/usr/bin:/bin"})
    assert out.startswith("three-guests  running\n")
    assert "\nLPAR kvm1: adapters 5-6," in out


def test_the_kernel_log():
    uuid = "94c662cd-0000-4000-8000-31dbd8dcb35f"
    out = sh(
        f"cd /sys/devices/vfio_ap/matrix; echo {uuid} > mdev_supported_types/vfio_ap-passthrough/create; cd {uuid};"
        f"echo 5 > assign_adapter; echo 4 > assign_domain; {PROGRAM} log"
    )
    assert f"vfio_ap_mdev {uuid}: Userspace may not assign queue 05.0004 to mdev: already assigned to" in out


def test_removing_a_used_mdev_takes_it_from_the_guest():
    """The write blocks until QEMU has given the device back; nothing else waits for it."""
    uuid = "62177883-f1bb-47f0-914d-32a22e3a8804"
    out = sh(f"cd /sys/devices/vfio_ap/matrix; echo 1 > {uuid}/remove; ls; cat /sys/bus/ap/devices/05.0004/status")
    assert uuid not in out
    assert out.endswith("unassigned\n")


def descendants(marker):
    """Processes that carry ``marker`` in their environment."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker.encode() in entry.read_bytes():
                found.add(int(entry.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("victim", ["machine", "supervisor", "init", "command"])
def test_nothing_stays_when_one_of_the_processes_is_killed(victim):
    before = snapshot()
    marker = f"APMATRIX_TEST={os.getpid()}-{victim}"
    process = subprocess.Popen(
        [*APMATRIX, "run", THREE, "--", "sh", "-c", "setsid sleep 1000 & echo ready; sleep 1000; true"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | dict([marker.split("=")]),
        text=True,
    )
    with process:
        assert output(process).readline() == "ready\n"
        chain = [process.pid]
        while len(chain) < 4:
            chain.append(int(Path(f"/proc/{chain[-1]}/task/{chain[-1]}/children").read_text().split()[0]))
        os.kill(chain[["machine", "supervisor", "init", "command"].index(victim)], signal.SIGKILL)
        assert process.wait() != 0
    while descendants(marker):
        pass
    assert snapshot() == before


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv, to drop rights")
def test_without_privileges_by_user_namespaces():
    """The same, for a user who may open /dev/fuse and create user namespaces."""
    before = snapshot()
    # Mapping root needs CAP_SETFCAP; users other than root may map themselves.
    prefix = ["setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all", "--no-new-privs"]
    out = sh(
        "grep CapBnd /proc/self/status; ls /sys/bus/ap/devices; touch /usr/new; echo x > /etc/new && cat /etc/new",
        prefix=prefix,
    )
    assert "card05" in out
    assert out.endswith("x\n")
    assert snapshot() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to hide /dev/fuse in a namespace")
def test_what_is_missing_is_said():
    hidden = f"mount -t tmpfs none /dev && exec {PROGRAM} run {THREE} -- true"
    done = subprocess.run(["unshare", "-m", "sh", "-c", hidden], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("apmatrix: /dev/fuse cannot be opened (No such file or directory)")
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to cover /dev/fuse in a namespace")
@pytest.mark.parametrize("other", ["/dev/null", "README.md"])
def test_something_else_named_fuse_is_said(other):
    """So do some containers hide a device."""
    covered = f"mount --bind {other} /dev/fuse && exec {PROGRAM} run {THREE} -- true"
    done = subprocess.run(["unshare", "-m", "sh", "-c", covered], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("apmatrix: /dev/fuse is not the FUSE device, but something else of that name: ")


def test_names_and_settings_of_the_computer_stay():
    """A command has a host name and System V objects of its own, and changes no setting of the kernel."""
    before = (socket.gethostname(), Path("/proc/sys/vm/swappiness").read_text())
    script = (
        "hostname elsewhere; hostname; readlink /proc/self/ns/uts /proc/self/ns/ipc;"
        "/bin/echo 1 > /proc/sys/vm/swappiness && echo changed; echo end"
    )
    name, uts, ipc, end = sh(script).splitlines()
    assert (name, end) == ("elsewhere", "end")
    assert not {uts, ipc} & {str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("uts", "ipc")}
    assert before == (socket.gethostname(), Path("/proc/sys/vm/swappiness").read_text())


def test_the_machine_leaves_no_core_dump_but_its_command_may():
    """The command is a program of the user, and sees no key."""
    script = "grep core /proc/self/limits; read line"
    words = [*APMATRIX, "run", THREE, "--", "sh", "-c", script]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert output(process).readline().split()[4:6] == core_limits("self")
        assert core_limits(process.pid) == ["1", "1"]
