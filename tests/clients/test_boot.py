"""A real s390x Linux on the emulated machine: Debian's kernels in QEMU.

Needs QEMU for s390x, Debian packages for s390x, and for the crypto requests a cross compiler.
"""

import errno
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import gmpy2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from apmatrix.arch import Apqn, CardType, Mask, Matrix, Opcode
from apmatrix.cards import Filter
from apmatrix.config import load
from apmatrix.emulation import Emulation
from apmatrix.faces.boot import (
    Guest,
    GuestError,
    Hardware,
    Interactive,
    KernelError,
    LevelProcessor,
    PackageError,
    QemuError,
    Repository,
    Software,
    Way,
)
from apmatrix.faces.boot.qemu import PROGRAM
from apmatrix.faces.lines import ControlError
from apmatrix.machine import ActivationProfile, Cpc
from apmatrix.service.client import connect
from apmatrix.service.occupation import RemoteLevel
from apmatrix.service.server import MachineServer

DATA = Path(__file__).parent.parent / "data"
SUITES = {"bookworm": "6.1", "trixie": "6.12", "sid": "7."}
COMPILER = "s390x-linux-gnu-gcc"

if shutil.which(PROGRAM) is None:
    pytest.skip(f"{PROGRAM} is not installed (Debian: qemu-system-misc)", allow_module_level=True)


def lszcrypt(text: bytes) -> dict[str, list[str]]:
    """The lines of ``lszcrypt -V`` about cards and queues, by their name."""
    lines = (line.split() for line in text.decode().splitlines())
    return {line[0]: line[1:] for line in lines if line and re.fullmatch(r"[0-9a-f]{2}(\.[0-9a-f]{4})?", line[0])}


class Watched(LevelProcessor):
    """A level that shows what is executed there: ``seen`` gets each instruction and its registers.

    ``busy`` is set after ``count`` instructions.
    """

    def __init__(self, session, count=0, seen=lambda instruction, registers: None):
        super().__init__(session.machine, session.level)
        self.count = count
        self.seen = seen
        self.resets = 0
        self.busy = threading.Event()

    def execute(self, instruction, registers, memory):
        self.seen(instruction, registers)
        self.count -= 1
        if not self.count:
            self.busy.set()
        return super().execute(instruction, registers, memory)

    def reset(self):
        self.resets += 1
        super().reset()


class Session:
    """A machine with a CCA coprocessor 5 and an accelerator 6, and real Linux systems on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.machine = Cpc()
        self.machine.add_adapter(5, CardType.parse("CEX8C"), message_limit=6)
        self.machine.add_adapter(6, CardType.parse("CEX8A"))
        self.level = self.add("kvm1", Matrix(Mask.of(5, 6), Mask.of(4, 0xAB), Mask.of(4)))

    def add(self, name, matrix):
        return self.machine.add_lpar(ActivationProfile(name, matrix)).level

    def guest(self, software, *, level=None, processors=1, way=Way.MAILBOX, **parts):
        processor = parts.pop("processor", None) or LevelProcessor(self.machine, level or self.level)
        try:
            kernel, initrd = software.prepare(parts.pop("directory", self.directory), lambda _: None)
        except PackageError as error:
            pytest.skip(f"packages for s390x cannot be had: {error}")
        hardware = Hardware(kernel, initrd, processor.kernel_parameters, processors=processors)
        return Guest(hardware, processor, way=way, **parts)

    def run(self, command, *, kernel=None, extra=(), **parts):
        """Exit code and output of a command in a guest."""
        output = bytearray()
        with self.guest(Software(kernel, command=command, extra=dict(extra)), **parts) as guest:
            guest.wait_until_ready()
            code = guest.run_command(output.extend, 300)
            guest.wait_until_ended(60)
        return code, bytes(output)


@pytest.fixture
def session(tmp_path):
    made = Session(tmp_path)
    yield made
    made.machine.close()


def vectors() -> bytes:
    """RSA requests of 1024, 2048 and 4096 bits with their results, as tests/data/ica.c reads them."""
    lines = []
    for size in (1024, 2048, 4096):
        private = rsa.generate_private_key(65537, size).private_numbers()
        modulus = private.public_numbers.n
        p, q = max(private.p, private.q), min(private.p, private.q)
        text = random.randrange(2, modulus)
        octets, half = size // 8, size // 16

        def digits(number, length):
            return int(number).to_bytes(length, "big").hex()

        whole = (digits(number, octets) for number in (modulus, 65537, text, gmpy2.powmod(text, 65537, modulus)))
        lines.append(" ".join(("me", *whole)))
        parts = (p, q, private.d % (p - 1), private.d % (q - 1), gmpy2.invert(q, p))
        result = digits(gmpy2.powmod(text, private.d, modulus), octets)
        lines.append(" ".join(("crt", *(digits(part, half) for part in parts), digits(text, octets), result)))
    return "\n".join(lines).encode() + b"\n"


@pytest.fixture(scope="session")
def ica(tmp_path_factory):
    """The test program and its requests, as files of the guest."""
    compiler = shutil.which(COMPILER)
    if compiler is None:
        pytest.skip(f"{COMPILER} is not installed (Debian: gcc-s390x-linux-gnu, libc6-dev-s390x-cross)")
    program = tmp_path_factory.mktemp("ica") / "ica"
    subprocess.run([compiler, "-O2", "-Wall", "-Werror", "-static", "-o", program, DATA / "ica.c"], check=True)
    return {"usr/bin/ica": program.read_bytes(), "vectors": vectors()}


def rights(output: bytes) -> list[tuple[int, ...]]:
    """Right, wrong, failed and errno of each process."""
    found = re.findall(rb"right (\d+) wrong (\d+) failed (\d+) errno (\d+)", output)
    return [tuple(map(int, numbers)) for numbers in found]


# kernels and ways


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("suite", SUITES)
def test_kernel_sees_and_uses_its_cards(session, ica, suite, way):
    code, output = session.run(
        "uname -r; lszcrypt -V; ica rsa /vectors 12 1; ica problem; exit 7", kernel=suite, extra=ica, way=way
    )
    assert code == 7
    assert output.startswith(SUITES[suite].encode())
    cards = lszcrypt(output)
    assert sorted(cards) == ["05", "05.0004", "05.00ab", "06", "06.0004", "06.00ab"]
    assert [cards[name][:3] for name in ("05", "06")] == [
        ["CEX8C", "CCA-Coproc", "online"],
        ["CEX8A", "Accelerator", "online"],
    ]
    assert cards["05.0004"][-1] == "cex4queue"
    assert rights(output) == [(12, 0, 0, 0)]
    assert b"signal 4 code 5" in output  # SIGILL, ILL_PRVOPC: a privileged operation


def test_mailbox_and_breakpoint_are_what_they_say(session):
    for way in Way:
        with session.guest(Software(command="true"), way=way) as guest:
            guest.wait_until_ready()
            assert (guest.bridge.way, guest.bridge.reason) == (way, "")


def test_control_domains_and_mask(session):
    _, output = session.run("lszcrypt -d; cat /sys/bus/ap/ap_control_domain_mask")
    row = next(line.split() for line in output.decode().splitlines() if line.split()[:1] == ["00"] and "B" in line)
    assert row[1 + 4] == "B"  # usage and control
    assert f"0x08{'0' * 62}".encode() in output


# crypto


def test_ten_thousand_requests_from_two_processes_on_two_processors(session, ica):
    code, output = session.run("ica rsa /vectors 10000 2", extra=ica, processors=2)
    assert rights(output) == [(5000, 0, 0, 0)] * 2
    assert code == 0


def test_messages_of_more_than_12_kilobytes(session, ica):
    _, output = session.run("ica cprb 16000 2; ica cprb 60000 1", extra=ica)
    results = re.findall(rb"rc (-?\d+) errno (\d+)", output)
    too_long = (b"-1", str(errno.EINVAL).encode())  # more than the card's limit of 24 KiB
    assert results == [(b"0", b"0"), (b"0", b"0"), too_long]


def test_a_reply_that_is_longer_than_the_buffer_is_delivered_in_parts(session, ica):
    class Longer(Filter):
        lengthened = 0

        def reply(self, queue, request, reply):
            if request.message[1] == 0x06 and b"RL" in request.message[:400] and len(request.message) > 1000:
                self.lengthened += 1
                return reply + bytes(50_000)
            return reply

    longer = Longer()
    session.machine.adapters[5].filters.add(longer)
    positions = []

    def seen(instruction, registers):
        if instruction.opcode is Opcode.DQAP and registers.gr[0] >> 32:
            positions.append(registers.gr[0] >> 32)

    _, output = session.run("ica cprb 2000 1; ica cprb 0 1", extra=ica, processor=Watched(session, seen=seen))
    assert longer.lengthened == 1
    assert positions == [24576, 49152]
    results = re.findall(rb"rc (-?\d+) errno (\d+)", output)
    assert results == [(b"-1", str(errno.EMSGSIZE).encode()), (b"0", b"0")]


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
        assert session.machine.tapq(session.level, apqn)[0].empty
    assert session.run("ica rsa /vectors 6 1", extra=ica)[0] == 0


def test_end_of_the_guest_in_the_middle_of_its_work(session, ica):
    with session.guest(Software(command="ica rsa /vectors 100000 2 & sleep 1; poweroff -f", extra=ica)) as guest:
        guest.wait_until_ready()
        with pytest.raises(GuestError, match="ended before it said 'end'"):
            guest.run_command(lambda _: None, 60)
    assert all(session.machine.tapq(session.level, apqn)[0].empty for apqn in session.level.effective.apqns())


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
    command = "ica rsa /vectors 3000 2; echo 1 > /sys/bus/ap/scans; lszcrypt -V"
    output = bytearray()
    level = Watched(session, 500)
    with session.guest(Software(command=command, extra=ica), processor=level) as guest:
        guest.wait_until_ready()
        assert level.busy.wait(120)
        session.machine.set_profile("kvm1", Matrix(Mask.of(5), Mask.of(4, 0xAB), Mask.of(4)))
        guest.run_command(output.extend, 300)
        guest.wait_until_ended(60)
    assert [counts[1] for counts in rights(output)] == [0, 0]
    assert sum(counts[0] for counts in rights(output)) >= 2900  # those on their way may fail, as on hardware
    assert sorted(lszcrypt(output)) == ["05", "05.0004", "05.00ab"]
    assert session.machine.tapq(session.level, Apqn(6, 4))[0].value == 0x00010000


# the command


@pytest.fixture
def machine_file(tmp_path):
    file = tmp_path / "machine.toml"
    file.write_text(
        '[[adapter]]\nid = 5\ntype = "CEX8C"\n[[lpar]]\nname = "kvm1"\nadapters = "5"\nusage_domains = "4,6"\n'
        '[lpar.host]\napmask = "-5"\naqmask = "-6"\n'
        '[[lpar.guest]]\nname = "guest1"\nadapters = "5"\ndomains = "6"\nstart = true\n'
    )
    return file


GUEST1 = "62177883-f1bb-47f0-914d-32a22e3a8804"


@pytest.fixture
def server(machine_file, tmp_path):
    """A machine that runs for others, and the path of its control socket."""
    text = machine_file.read_text().replace('name = "guest1"', f'name = "guest1"\nuuid = "{GUEST1}"')
    machine_file.write_text(text.replace('aqmask = "-6"', 'aqmask = "-6,-7"').replace('"4,6"', '"4,6,7"'))
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
            directory = session.directory / name
            directory.mkdir()
            software = Software(command="lszcrypt; ica rsa /vectors 30 1", extra=ica)
            outputs[name] = bytearray()
            with session.guest(software, processor=level, directory=directory) as guest:
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
    assert [vm.name for vm in made.emulation.lpars[0].linux.kvm.vms] == ["guest1"]


def test_the_bridge_of_a_running_machine_vanishes(server, session, ica):
    """What a killed bridge leaves on a queue is reset when its connection ends."""
    made, path = server
    level = made.emulation.lpars[0].guests[0].vm.level
    with RemoteLevel(connect(path), None, "guest1") as remote:
        software = Software(command="ica rsa /vectors 100000 1", extra=ica)
        guest = session.guest(software, processor=remote)
        with guest:
            guest.wait_until_ready()
            remote._lines.connection.shutdown(socket.SHUT_RDWR)
            with pytest.raises(ControlError, match="machine"):
                guest.run_command(lambda _: None, 60)
    assert made.emulation.machine.tapq(level, Apqn(5, 6))[0].empty


def test_the_machine_of_a_real_guest_refuses_what_it_has_not(server):
    _, path = server
    for lpar, guest, reason in (
        (None, "guest7", "no guest and no mdev guest7: guests are kvm1/guest1"),
        (None, None, "runs guests that would end"),
        ("kvm2", None, "runs guests"),
    ):
        with pytest.raises(ControlError, match=reason):
            RemoteLevel(connect(path), lpar, guest)


def apmatrix(*arguments, **options):
    command = [sys.executable, "-c", "from apmatrix.cli.main import main; main()", "boot", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, **options)


@pytest.mark.parametrize(
    ("level", "queues"),
    [(("--guest", "guest1"), ["05", "05.0006"]), (("--lpar", "kvm1"), ["05", "05.0004", "05.0006"])],
    ids=["guest", "lpar"],
)
def test_exec(machine_file, level, queues):
    Repository()
    process = apmatrix(machine_file, *level, "--exec", "lszcrypt -V; exit 3")
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 3, errors.decode()
    assert sorted(lszcrypt(output)) == queues
    assert b"the kernel starts" in errors


def test_interactive(machine_file):
    Repository()
    process = apmatrix(machine_file, "--interactive")
    output, errors = process.communicate(b"echo $((6 * 7)) cards; lszcrypt\n", timeout=300)
    assert process.returncode == 0, errors.decode()
    assert b"42 cards" in output


def test_kill_of_the_bridge_takes_qemu_with_it(machine_file):
    Repository()
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
