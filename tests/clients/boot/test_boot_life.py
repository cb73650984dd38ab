"""Real guests come and go, share a machine, join a running one; and the command that starts them."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from apmatrix.arch import Apqn, Mask, Matrix
from apmatrix.config import load
from apmatrix.emulation import Emulation
from apmatrix.faces.boot import GuestError, Interactive, KernelError, QemuError, Software
from apmatrix.service.client import connect
from apmatrix.service.errors import ControlError
from apmatrix.service.remote import RemoteLevel
from apmatrix.service.server import MachineServer
from support.guests import Watched, lszcrypt, rights

from ..conftest import ClientHost, missing, need

# guests come and go


def test_reboot(session):
    level = Watched(session)
    with session.guest(Software(interactive=Interactive()), processors=2, processor=level) as guest:
        guest.wait_until_ready()
        before = guest.service.executed
        guest.console.type("reboot -f\n")
        guest.wait_until_ready()
        assert guest.restarts == 1
        assert level.resets == 1
        assert guest.service.executed >= before + 10
        guest.console.type("poweroff -f\n")
        guest.wait_until_ended(60)
    assert level.resets == 2


def test_kill_of_qemu_resets_the_queues_and_the_next_boot_works(session, ica):
    level = Watched(session, 200)
    with session.guest(Software(command="ica rsa /vectors 100000 2", extra=ica), processor=level) as guest:
        guest.wait_until_ready()
        assert level.busy.wait(120)
        os.kill(guest.qemu.pid, signal.SIGKILL)
        with pytest.raises(QemuError, match="was killed"):
            guest.run_command(lambda _: None, 60)
    for apqn in session.level.effective.apqns():
        assert session.machine.port(session.level, apqn).tapq()[0].empty
    assert session.run("ica rsa /vectors 6 1", extra=ica)[0] == 0


def test_end_of_the_guest_in_the_middle_of_its_work(session, ica):
    with session.guest(Software(command="ica rsa /vectors 100000 2 & sleep 1; poweroff -f", extra=ica)) as guest:
        guest.wait_until_ready()
        with pytest.raises(GuestError, match="ended before it said 'end'"):
            guest.run_command(lambda _: None, 60)
    assert all(session.machine.port(session.level, apqn).tapq()[0].empty for apqn in session.level.effective.apqns())


@pytest.mark.parametrize("content", [b"", b"\0" * 100_000, bytes(range(256)) * 1000], ids=["empty", "zeros", "bytes"])
def test_files_that_are_no_kernel_give_a_sentence(session, content):
    kernel = session.directory / "vmlinuz"
    kernel.write_bytes(content)
    initrd = session.directory / "own"
    initrd.touch()
    with (
        pytest.raises((KernelError, QemuError, GuestError)) as caught,
        session.guest(Software(str(kernel), initrd)) as guest,
    ):
        guest.wait_until_ready(10)
    assert str(caught.value)


# several guests at once


def test_two_guests_at_once_see_only_their_own(session, ica):
    other = session.add("kvm2", Matrix(Mask.of(5), Mask.of(6)))
    outputs = [bytearray(), bytearray()]
    software = Software(command="lszcrypt -V; ica rsa /vectors 600 2", extra=ica)
    with session.guest(software) as one, session.guest(software, level=other) as two:

        def work(guest, output):
            guest.wait_until_ready()
            guest.run_command(output.extend, 300)

        threads = [
            threading.Thread(target=work, args=pair, daemon=True) for pair in zip((one, two), outputs, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(400)
    assert sorted(lszcrypt(outputs[0])) == ["05", "05.0004", "05.00ab", "06", "06.0004", "06.00ab"]
    assert sorted(lszcrypt(outputs[1])) == ["05", "05.0006"]
    for output in outputs:
        assert rights(output) == [(300, 0, 0, 0)] * 2


def test_adapter_leaves_under_load(session, ica):
    """The accelerator goes while requests are under way: they are answered by what is left, none wrongly."""
    command = "ica rsa /vectors 1500 2; echo 1 > /sys/bus/ap/scans; lszcrypt -V"
    output = bytearray()
    level = Watched(session, 500)
    with session.guest(Software(command=command, extra=ica), processor=level) as guest:
        guest.wait_until_ready()
        assert level.busy.wait(120)
        session.machine.set_profile("kvm1", Matrix(Mask.of(5), Mask.of(4, 0xAB), Mask.of(4)))
        guest.run_command(output.extend, 300)
        guest.wait_until_ended(60)
    assert [counts[1] for counts in rights(output)] == [0, 0]
    assert sum(counts[0] for counts in rights(output)) >= 1400  # those on their way may fail, as on hardware
    assert sorted(lszcrypt(output)) == ["05", "05.0004", "05.00ab"]
    assert session.machine.port(session.level, Apqn(6, 4)).tapq()[0].value == 0x00010000


# the command


GUEST1 = "62177883-f1bb-47f0-914d-32a22e3a8804"


@pytest.fixture
def server(machine_file, tmp_path):
    """A machine that runs for others, and the path of its control socket."""
    with Emulation.start(load(machine_file)) as emulation:
        made = MachineServer(emulation)
        made.listen_at(tmp_path / "control")
        yield made, tmp_path / "control"


def test_change_on_the_host_is_seen_by_the_real_kernel(server, session):
    made, path = server
    host = made.emulation.lpars[0].linux
    steps = (
        "lszcrypt; echo waiting",
        "until lszcrypt | grep -q 05.0007; do echo 1 > /sys/bus/ap/scans; sleep 0.1; done; echo added",
        "while lszcrypt | grep -q 05.0006; do echo 1 > /sys/bus/ap/scans; sleep 0.1; done; lszcrypt -V",
    )
    changes = {b"waiting": ("assign_domain", b"7"), b"added": ("unassign_domain", b"6")}
    seen = bytearray()

    def output(text):
        seen.extend(text)
        for word, (attribute, value) in list(changes.items()):
            if word in seen:
                host.sysfs.write(f"devices/vfio_ap/matrix/{GUEST1}/{attribute}", value)
                del changes[word]

    with RemoteLevel(connect(path), None, "guest1") as level:
        software = Software(command="; ".join(steps))
        with session.guest(software, processor=level) as guest:
            guest.wait_until_ready()
            assert guest.run_command(output, 120) == 0
            guest.wait_until_ended(60)
    before, _, after = bytes(seen).partition(b"waiting")
    assert sorted(lszcrypt(before)) == ["05", "05.0006"]
    assert sorted(lszcrypt(after.partition(b"added")[2])) == ["05", "05.0007"]


@pytest.mark.usefixtures("debian")
def test_two_real_guests_of_one_running_host_one_started_for_it(server, session, ica):
    """One guest of the file, and one whose mdev an administrator has just made."""
    made, path = server
    other = "1dd22f0c-96ea-4a0c-9d27-0c2b5b3a2a51"
    sysfs = made.emulation.lpars[0].linux.sysfs
    matrix = "devices/vfio_ap/matrix"
    sysfs.write(f"{matrix}/mdev_supported_types/vfio_ap-passthrough/create", other.encode())
    for attribute, value in (("assign_adapter", b"5"), ("assign_domain", b"7")):
        sysfs.write(f"{matrix}/{other}/{attribute}", value)
    outputs = {}

    def work(name):
        with RemoteLevel(connect(path), None, name) as level:
            software = Software(command="lszcrypt; ica rsa /vectors 30 1", extra=ica)
            outputs[name] = bytearray()
            with session.guest(software, processor=level) as guest:
                guest.wait_until_ready()
                guest.run_command(outputs[name].extend, 300)

    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in ("guest1", other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert sorted(lszcrypt(outputs["guest1"])) == ["05", "05.0006"]
    assert sorted(lszcrypt(outputs[other])) == ["05", "05.0007"]
    assert [rights(output) for output in outputs.values()] == [[(30, 0, 0, 0)]] * 2
    linux = made.emulation.lpars[0].linux
    with linux.kernel:  # the machine notices that the connection ended, and stops the VM that it had started
        assert linux.kernel.wait_until(lambda: [vm.name for vm in linux.vmm.vms] == ["guest1"], 60)


def test_the_bridge_of_a_running_machine_vanishes(server, session, ica):
    """What a killed bridge leaves on a queue is reset when its connection ends."""
    made, path = server
    level = made.emulation.lpars[0].guests[0].vm.level
    with RemoteLevel(connect(path), None, "guest1") as remote:
        software = Software(command="ica rsa /vectors 100000 1", extra=ica)
        guest = session.guest(software, processor=remote)
        with guest:
            guest.wait_until_ready()
            remote._client.connection.shutdown(socket.SHUT_RDWR)
            with pytest.raises(ControlError, match="machine"):
                guest.run_command(lambda _: None, 60)
    assert made.emulation.machine.port(level, Apqn(5, 6)).tapq()[0].empty


def test_the_machine_of_a_real_guest_refuses_what_it_has_not(server):
    _, path = server
    for lpar, guest, reason in (
        (None, "guest7", "there is no guest guest7: the guests are kvm1/guest1"),
        (None, None, "runs guests that would end"),
        ("kvm2", None, "runs guests"),
    ):
        with pytest.raises(ControlError, match=reason):
            RemoteLevel(connect(path), lpar, guest)


def apmatrix(*arguments, **options):
    command = [sys.executable, "-c", "from apmatrix.cli.main import main; main()", "boot", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, **options)


@pytest.mark.usefixtures("debian")
@pytest.mark.parametrize(
    ("level", "queues"),
    [(("--guest", "guest1"), ["05", "05.0006"]), (("--lpar", "kvm1"), ["05", "05.0004", "05.0006", "05.0007"])],
    ids=["guest", "lpar"],
)
def test_exec(machine_file, level, queues):
    process = apmatrix(machine_file, *level, "--exec", "lszcrypt -V; exit 3")
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 3, errors.decode()
    assert sorted(lszcrypt(output)) == queues
    assert b"the kernel starts" in errors


@pytest.mark.usefixtures("debian")
def test_interactive(machine_file):
    process = apmatrix(machine_file, "--interactive")
    output, errors = process.communicate(b"echo $((6 * 7)) cards; lszcrypt\n", timeout=300)
    assert process.returncode == 0, errors.decode()
    assert b"42 cards" in output


@pytest.mark.usefixtures("debian")
def test_kill_of_the_bridge_takes_qemu_with_it(machine_file):
    process = apmatrix(machine_file, "--exec", "echo up; sleep 1000")
    assert process.stdout.readline() == b"up\n"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 1
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{children[0]}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{children[0]}/stat").read_text().split(")")[1].split()[0] == "Z":
            break
        threading.Event().wait(0.05)
    else:
        assert not Path(f"/proc/{children[0]}").exists()


def test_an_administrator_with_mdevctl_and_a_real_guest(machine_file, tmp_path):
    """vfio-ap from end to end: mdevctl makes an mdev, a real kernel uses its queues and sees it change."""
    if reason := missing():
        pytest.skip(reason)
    need("mdevctl", "mdevctl")
    mdev = "94c662cd-0000-4000-8000-31dbd8dcb35f"
    define = f"mdevctl define --uuid {mdev} --parent matrix --type vfio_ap-passthrough"
    attributes = "".join(
        f"mdevctl modify --uuid {mdev} --addattr={name} --value={value};"
        for name, value in (("assign_adapter", "5"), ("assign_domain", "7"))
    )
    steps = (
        "lszcrypt; echo waiting",
        "while lszcrypt | grep -q 05.0007; do echo 1 > /sys/bus/ap/scans; sleep 0.1; done; lszcrypt; echo gone",
    )
    host = ClientHost(tmp_path / "state", machine_file)
    host.up()
    try:
        host.sh(f"{define}; {attributes} mdevctl start --uuid {mdev}")
        process = apmatrix("--machine", "machine", "--guest", mdev, "--exec", "; ".join(steps), env=host.environment)
        before = b"".join(iter(process.stdout.readline, b"waiting\n"))
        host.sh(f"/bin/echo 7 > /sys/devices/vfio_ap/matrix/{mdev}/unassign_domain")
        after, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
        assert mdev in host.sh("mdevctl list")
    finally:
        host.down()
    assert sorted(lszcrypt(before)) == ["05", "05.0007"]
    assert lszcrypt(after) == {}
    assert after.endswith(b"gone\n")
