"""Machines in the background: ``apmatrix up``, ``down``, ``status``, and their clients."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from support.processes import output
from support.schemas import document

from .place import missing
from .test_run import APMATRIX, ROOT, THREE, snapshot

HOST = str(ROOT / "tests/data/clients/host.toml")
UUID = "94c662cd-0000-4000-8000-31dbd8dcb35f"

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


class Service:
    def __init__(self, state):
        self.state = state
        self.environment = {name: text for name, text in os.environ.items() if name != "APMATRIX_MACHINE"}
        self.environment["APMATRIX_STATE"] = str(state)

    def do(self, *words, code=0):
        done = subprocess.run([*APMATRIX, *words], capture_output=True, text=True, env=self.environment, timeout=120)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def sh(self, script, *options):
        return self.do("run", "--machine", "host", *options, "--", "sh", "-c", script)

    def process(self, name="host"):
        """The process ID of the machine, which holds the lock."""
        lock = (self.state / name / "lock").stat()
        for words in map(str.split, Path("/proc/locks").read_text().splitlines()):
            if words[5].endswith(f":{lock.st_ino}"):
                return int(words[4])
        return None


@pytest.fixture
def service(tmp_path):
    service = Service(tmp_path / "state")
    yield service
    for lock in service.state.glob("*/lock"):
        if (process := service.process(lock.parent.name)) is not None:
            os.kill(process, signal.SIGKILL)


def test_up_status_down(service):
    assert service.do("status") == "no machine: start one with apmatrix up FILE\n"
    assert service.do("up", THREE) == "machine three-guests is running: apmatrix shell --machine three-guests\n"
    (fact,) = json.loads(service.do("status", "--json"))["machines"]
    assert fact["machine"] == "three-guests"
    assert fact["systems"] == ["kvm1", "kvm1/guest1", "kvm1/guest2", "kvm1/guest3"]
    assert [guest["running"] for guest in fact["guests"]] == [True] * 3
    assert service.do("down") == "machine three-guests stopped\n"
    assert service.do("status") == "three-guests  stopped\n"


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["up", "nothing.toml"], 2, "nothing.toml"),
        (["down"], 3, "no machine is running: start one"),
        (["guest", "list", "--machine", "host"], 3, "machine host is not running"),
        (["log"], 3, "no machine is running"),
        (["run", "--machine", "../x", "--", "true"], 2, "cannot name a machine"),
    ],
)
def test_what_is_missing_is_a_sentence(service, words, code, text):
    assert text in service.do(*words, code=code)


def test_a_machine_is_started_once(service):
    service.do("up", HOST)
    assert "is already running" in service.do("up", HOST, code=3)


def test_two_machines_need_a_name(service):
    service.do("up", HOST)
    service.do("up", THREE)
    assert "--machine NAME, of host, three-guests" in service.do("guest", "list", code=2)
    assert "guest2" in service.do("guest", "list", "--machine", "three-guests")


def test_commands_share_the_machine(service):
    """What one does another sees, also while both run."""
    service.do("up", HOST)
    mask = "cat /sys/bus/ap/apmask"
    reader = subprocess.Popen(
        [*APMATRIX, "run", "--machine", "host", "--", "sh", "-c", f"{mask}; read line; {mask}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=service.environment,
        text=True,
    )
    assert output(reader).readline() == f"0x{'f' * 64}\n"
    service.sh("/bin/echo -5 > /sys/bus/ap/apmask")
    assert reader.communicate("\n", timeout=60)[0] == f"0xfb{'f' * 62}\n"


def test_a_command_records_where_its_own_paths_lead(service, tmp_path):
    """The machine does not see what a command has mounted: the command opens the files of its records."""
    service.do("up", HOST)
    place = tmp_path / "place"
    place.mkdir()
    (place / "traffic").write_text("no record\n")
    said = service.sh(
        f"mount -t tmpfs tmpfs {place} && cd {place} && apmatrix record start traffic && apmatrix record stop"
        " && apmatrix replay start traffic && apmatrix replay stop && apmatrix replay check traffic && ls -s traffic"
    )
    assert said.splitlines() == [
        "recording to traffic: apmatrix record stop ends it",
        f"{place}/traffic: 0 exchanges",
        "0 exchanges of traffic are replayed: apmatrix replay stop ends it",
        f"{place}/traffic is no longer replayed",
        "0 requests sent, 0 answered differently",
        "0 traffic",
    ]
    assert (place / "traffic").read_text() == "no record\n"


def test_the_hmc_and_guests_from_outside(service):
    """Changes from outside are seen by commands inside when they return."""
    service.do("up", HOST)
    service.sh(
        f"cd /sys/devices/vfio_ap/matrix; /bin/echo -5 > /sys/bus/ap/apmask;"
        f"echo {UUID} > mdev_supported_types/vfio_ap-passthrough/create; cd {UUID};"
        "echo 5 > assign_adapter; echo 4 > assign_domain"
    )
    assert service.do("guest", "start", UUID) == f"kvm1/{UUID} started\n"
    assert service.sh("cat /sys/bus/ap/devices/05.0004/status") == "in use\n"
    service.do("adapter", "set", "6", "--state", "checkstopped")
    service.do("lpar", "set", "kvm1", "--usage-domains", "4")
    out = service.sh("echo 1 > /sys/bus/ap/scans; cd /sys/bus/ap/devices; echo ??.????; cat card06/chkstop")
    assert out == "05.0004 06.0004\n1\n"
    assert service.do("guest", "stop", UUID) == f"kvm1/{UUID} stopped\n"


def test_etc_is_kept_for_each_system_and_sys_is_not(service):
    service.do("up", HOST)
    service.sh("echo kept > /etc/new; /bin/echo -5 > /sys/bus/ap/apmask; echo gone > /run/new")
    assert service.sh("cat /etc/new; ls /run/new || true").startswith("kept\n")
    service.do("down")
    service.do("up", HOST)
    assert service.sh("cat /etc/new /sys/bus/ap/apmask") == f"kept\n0x{'f' * 64}\n"
    assert not Path("/etc/new").exists()


def test_down_ends_the_commands(service):
    service.do("up", HOST)
    command = [*APMATRIX, "run", "--machine", "host", "--", "sh", "-c", "echo ready; sleep 1000"]
    waiting = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=service.environment, text=True
    )
    assert output(waiting).readline() == "ready\n"
    service.do("down")
    assert waiting.communicate(timeout=60) == ("", "apmatrix: the machine ended, and so did the command\n")


def test_after_a_kill_nothing_stays_but_the_state(service):
    before = snapshot()
    service.do("up", HOST)
    service.sh("echo kept > /etc/new")
    waiting = subprocess.Popen(
        [*APMATRIX, "run", "--machine", "host", "--", "sh", "-c", "echo ready; sleep 1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=service.environment,
        text=True,
    )
    assert output(waiting).readline() == "ready\n"
    os.kill(service.process(), signal.SIGKILL)
    assert waiting.communicate(timeout=60) == ("", "apmatrix: the machine ended, and so did the command\n")
    assert waiting.returncode == 3
    assert service.do("status") == "host  stopped\n"
    service.do("up", HOST)
    assert service.sh("cat /etc/new") == "kept\n"
    service.do("down")
    assert snapshot() == before


def test_nonsense_on_the_socket_harms_nobody(service):
    """The next client is served."""
    service.do("up", HOST)
    path = str(service.state / "host" / "control")
    for data in (
        b"\n",
        b"nonsense\n",
        b"[1]\n",
        b'{"op": "attach", "system": null}\n',
        b'{"op": "start-guest"}\n',
        b"\xff" * 9000,
    ):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.sendall(data)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(b'{"op": "unheard of"}\n{"op": "list-guests"}\n')
        answers = connection.makefile()
        assert json.loads(answers.readline())["sentence"].startswith("the machine does not know")
        assert json.loads(answers.readline()) == {"answer": "result", "result": []}


class Shell:
    """A shell on the machine ``host`` that answers with one line."""

    def __init__(self, service):
        self.process = subprocess.Popen(
            [*APMATRIX, "run", "--machine", "host", "--", "sh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=service.environment,
            text=True,
            bufsize=1,
        )

    def ask(self, script):
        assert self.process.stdin is not None
        self.process.stdin.write(f"{script}; echo\n")
        return output(self.process).readline().strip()

    def end(self):
        assert self.process.communicate()[0] == ""


def test_what_one_command_writes_another_sees_at_once(service):
    """Also names that its kernel has cached: two shells on one machine, in turns."""
    service.do("up", HOST)
    shells = [Shell(service), Shell(service)]
    mdev = f"/sys/devices/vfio_ap/matrix/{UUID}"
    create = "/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create"
    for turn in range(40):
        writer, reader = shells[turn % 2], shells[1 - turn % 2]
        writer.ask(f"echo {UUID} > {create}")
        assert reader.ask(f"cat {mdev}/ap_config | tail -c 2 | wc -c | tr -d '\\n'") == "2"
        writer.ask(f"echo 1 > {mdev}/remove")
        assert reader.ask(f"test -e {mdev} && printf there") == ""
    for shell in shells:
        shell.end()


def test_the_commands_of_a_system_have_one_etc(service):
    """They begin at the same time, and whatever one does the others see, and what is kept is there afterwards."""
    service.do("up", HOST)
    shells = [Shell(service) for _ in range(3)]
    for writer in shells:
        for reader in shells:
            assert reader.ask("test -e /etc/new || printf absent") == "absent"
        writer.ask("echo it >> /etc/new")
        assert [shell.ask("cat /etc/new | tr -d '\\n'") for shell in shells] == ["it"] * 3
        writer.ask("rm /etc/new")
    shells[0].ask("rm /etc/passwd")  # the computer's: a note of the removal is made in the layers
    assert [shell.ask("test -e /etc/passwd || printf gone") for shell in shells] == ["gone"] * 3
    for shell in shells:
        shell.end()
    service.sh("test ! -e /etc/passwd")
    assert Path("/etc/passwd").exists()


def test_locks_are_seen_by_all_commands_of_a_system_and_go_with_the_last(service):
    service.do("up", HOST)
    shell = Shell(service)
    assert shell.ask("touch /run/lock/ours; ls /run/lock | tr -d '\\n'") == "ours"
    assert service.sh("ls /run/lock; touch /run/lock/theirs") == "ours\n"
    assert shell.ask("ls /run/lock | tr '\\n' ' '") == "ours theirs"
    shell.end()
    assert service.sh("ls /run/lock; touch /run/lock/new") == ""


REFUSED = str(ROOT / "examples/invalid-shared-queue.toml")


def test_a_machine_that_refuses_a_part_of_its_file_is_up_and_says_so(service):
    said = service.do("up", REFUSED, code=1)
    assert said.startswith("machine invalid-shared-queue is running")
    assert "invalid-shared-queue.toml:24: lpar[0].guest[1]: 01.0006 is already assigned to guest guest1" in said
    assert "guest1" in service.do("guest", "list")
    service.do("down")
    assert "examples/invalid-shared-queue.toml:24" in service.do("up", REFUSED, "--strict", code=1)
    assert "invalid-shared-queue  stopped" in service.do("status")


def test_what_a_machine_refuses_arrives_with_its_parts(service):
    command = [*APMATRIX, "up", REFUSED, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=service.environment, timeout=120)
    (refused,) = document(done.stdout)["refused"]
    assert (done.returncode, refused["errno"], refused["apqns"]) == (1, "EADDRINUSE", ["01.0006"])
    (again,) = document(service.do("status", "--json"))["machines"][0]["refused"]
    assert again["place"] == refused["place"]
    found = document(service.do("down", "--json"))
    assert (found["machine"], found["stopped"]) == ("invalid-shared-queue", True)


@pytest.mark.parametrize(("script", "code"), [("exit 0", 1), ("exit 5", 5)])
def test_a_command_on_a_machine_that_refuses_a_part_of_its_file(service, tmp_path, script, code):
    said = service.do("run", REFUSED, "--", "sh", "-c", f"echo ran; {script}", code=code)
    assert said.startswith("ran\n")
    said = service.do("run", "--strict", REFUSED, "--", "touch", tmp_path / "ran", code=1)
    assert "invalid-shared-queue.toml:24" in said
    assert not (tmp_path / "ran").exists()


def test_a_machine_is_forgotten(service):
    assert "there is no machine host" in service.do("down", "host", "--forget", code=2)
    service.do("up", HOST)
    assert service.do("down", "--forget") == "machine host stopped\nmachine host forgotten\n"
    assert service.do("status") == "no machine: start one with apmatrix up FILE\n"
    service.do("up", HOST)
    service.do("down")
    assert service.do("down", "--machine", "host", "--forget") == "machine host forgotten\n"
    assert "give NAME or --machine" in service.do("down", "host", "--machine", "other", code=2)


def test_a_directory_that_is_not_a_machine_s_is_not_forgotten(service):
    (service.state / "project").mkdir(parents=True)
    (service.state / "project" / "thesis").write_text("years of work")
    assert "thesis in it is not a machine's" in service.do("down", "project", "--forget", code=1)
    (service.state / "linked").symlink_to(service.state / "project")
    service.do("down", "linked", "--forget", code=2)
    assert (service.state / "project" / "thesis").exists()
