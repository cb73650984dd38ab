"""``apmatrix fault``, ``record`` and ``replay`` on a running machine, and faults and timing in its file."""

import errno
import fcntl
import json
import os
import socket
import stat
from contextlib import contextmanager
from pathlib import Path

import pytest

from apmatrix.cards import ManualClock
from apmatrix.cards.timing import TimingModel
from apmatrix.config import ConfigError, parse
from apmatrix.emulation import Emulation
from apmatrix.emulation.rsa import Question, RsaKey
from apmatrix.linux import Refused
from apmatrix.service.client import ask
from apmatrix.service.errors import ControlError
from apmatrix.service.protocol.testbed import CompareRecord, StartRecord, StartReplay
from apmatrix.service.recordfile import existing_record, new_record
from support.running import KEYS, command, running

KEY = RsaKey.generate(1024)


def rsa(machine, queue="05.0004", question=None):
    """``ok``, ``wrong``, or the errno that a program in the LPAR gets."""
    question = question or Question.random(KEY, crt=False)
    try:
        answer = machine.lpars[0].linux.zcrypt.rsa(question.request(), queue=queue)
    except Refused as refused:
        return errno.errorcode[refused.errno]
    return "ok" if question.is_answered_by(answer) else "wrong"


@contextmanager
def memory_file():
    """A regular file without a name, which can be sealed."""
    descriptor = os.memfd_create("record", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_a_fault_happens_as_often_as_it_says_and_where(machine):
    added = command("fault", "add", "adapter=5", "domain=4", "verb=PK", "reply=0x82", "skip=1", "times=2").stdout
    assert added == "fault 1: adapter=5 domain=0x4 verb=PK reply=0x82 skip=1 times=2\n"
    assert [rsa(machine, "05.0005") for _ in range(2)] == ["ok", "ok"]
    assert [rsa(machine) for _ in range(4)] == ["ok", "EINVAL", "EINVAL", "ok"]
    (fault,) = json.loads(command("fault", "list", "--json").stdout)["faults"]
    assert (fault["number"], fault["happened"]) == (1, 2)


def test_faults_are_removed_one_by_one_or_all(machine):
    filters = machine.machine.adapters[5].filters
    assert not filters
    for words in ("adapter=5 reply=0x82", "adapter=7 reply=0x82", "adapter=6 lose=held"):
        command("fault", "add", *words.split())
    assert (rsa(machine), rsa(machine, "07.0004")) == ("EINVAL", "EINVAL")
    assert command("fault", "remove", 1).stdout.startswith("fault 2: adapter=7")
    assert (rsa(machine), rsa(machine, "07.0004")) == ("ok", "EINVAL")
    assert command("fault", "remove", "--all").stdout == "no faults\n"
    assert rsa(machine, "07.0004") == "ok"
    assert not filters  # nothing is left in the way of requests


def test_a_card_fails_on_demand(machine):
    command("fault", "add", "adapter=5 verb=PK state=checkstopped times=1")
    rsa(machine)
    linux = machine.lpars[0].linux
    linux.scan()
    assert machine.lpars[0].shell.read("bus/ap/devices/card05/chkstop") == "1"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("fault", "add"), 2, "Missing argument"),
        (("fault", "add", "domain"), 2, "'domain': a fault is made of words like adapter=, domain="),
        (("fault", "add", "reply=0x82", "delay=x"), 2, "'delay=x': give a number of seconds above 0"),
        (("fault", "add", "domain=6"), 2, "the fault has no effect: say response="),
        (("fault", "add", "adapter=9", "lose=held"), 2, "there is no adapter 9 in keys: 5-7"),
        (("fault", "remove", "3"), 2, "there is no fault 3; active faults: none"),
        (("fault", "remove"), 2, "give the number of a fault, or --all"),
        (("record", "stop"), 3, "nothing is being recorded: apmatrix record start FILE"),
        (("record", "start", "here"), 1, "here: the record cannot be created (File exists): choose another FILE"),
        (("record", "start", "no/where"), 1, "the record cannot be created (No such file or directory)"),
        (("record", "start", "new", "--adapter", "9"), 2, "there is no adapter 9 in keys"),
        (("record", "start", "new", "--adapter", "x"), 2, "Invalid value for '--adapter': 'x' is not a number"),
        (("record", "start", "new", "--adapter", ""), 2, "Invalid value for '--adapter': it names no number"),
        (("replay", "stop"), 3, "nothing is being replayed: apmatrix replay start FILE"),
        (("replay", "start", "none"), 2, "none: the record cannot be read: No such file or directory"),
        (("replay", "start", "here"), 2, "here, line 1: this is not a recorded exchange"),
        (("replay", "check", "here"), 2, "here, line 1: this is not a recorded exchange"),
        (("replay", "check", "here", "--from", "nobody"), 2, "there is no guest nobody: the guests are kvm1/guest1"),
    ],
)
def test_what_is_wrong_is_a_sentence(machine, tmp_path, words, code, message):
    (tmp_path / "here").write_text("no record\n")
    result = command(*words, code=code)
    assert message in result.stderr
    assert result.stdout == ""
    assert not machine.machine.adapters[5].filters


def test_a_record_is_replayed_and_checked(machine, tmp_path):
    path = tmp_path / "traffic"
    questions = [Question.random(KEY, crt=False) for _ in range(3)]
    command("record", "start", "traffic", "--adapter", 5)
    assert "is already being recorded" in command("record", "start", "other", code=3).stderr
    assert [rsa(machine, question=question) for question in questions] == ["ok"] * 3
    assert rsa(machine, "07.0004") == "ok"
    assert command("record", "stop").stdout == f"{path}: 3 exchanges\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert rsa(machine) == "ok"
    assert len(path.read_text().splitlines()) == 3
    assert command("replay", "check", "traffic").stdout == "3 requests sent, 0 answered differently\n"

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["reply"] = lines[0]["reply"]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    checked = command("replay", "check", "traffic", code=1).stdout
    assert checked.splitlines()[0].endswith(": another reply")
    assert checked.endswith("3 requests sent, 1 answered differently\n")
    command("replay", "start", "traffic")
    assert "is already being replayed" in command("replay", "start", "traffic", code=3).stderr
    assert [rsa(machine, question=question) for question in questions] == ["ok", "wrong", "ok"]
    assert rsa(machine) == "ok"
    command("replay", "stop")
    assert [rsa(machine, question=question) for question in questions] == ["ok"] * 3


def test_a_record_that_cannot_be_written_costs_no_reply(machine):
    with memory_file() as descriptor:
        ask(None, StartRecord("stick/traffic"), [descriptor])
        assert rsa(machine) == "ok"
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
        assert [rsa(machine) for _ in range(2)] == ["ok", "ok"]
        ended = command("record", "stop", code=1)
        assert len(os.pread(descriptor, 1 << 20, 0).splitlines()) == 1
    assert ended.stderr.endswith("2 exchanges could not be written: Operation not permitted; 1 are recorded\n")
    assert not machine.machine.adapters[5].filters


def test_a_record_is_the_file_that_the_client_has_opened(machine, tmp_path):
    """The machine may not find it under this name, or find another one: it works with the descriptor alone."""
    (tmp_path / "traffic").write_text("another file\n")
    with memory_file() as descriptor:
        ask(None, StartRecord(str(tmp_path / "traffic")), [descriptor])
        assert rsa(machine) == "ok"
        assert command("record", "stop").stdout == f"{tmp_path}/traffic: 1 exchanges\n"
        os.lseek(descriptor, 0, os.SEEK_SET)
        assert ask(None, StartReplay(str(tmp_path / "traffic")), [descriptor]).exchanges == 1
    assert (tmp_path / "traffic").read_text() == "another file\n"


@pytest.mark.parametrize("request_type", [StartRecord, StartReplay, CompareRecord])
def test_a_record_is_a_regular_file(machine, tmp_path, request_type):
    """Nothing that a descriptor can be makes the machine wait, or is taken for a record."""
    os.mkfifo(tmp_path / "pipe")
    first, second = socket.socketpair()
    with first, second:
        others = [os.open(name, os.O_RDWR) for name in ("/dev/zero", tmp_path / "pipe")]
        others += [os.open(tmp_path, os.O_RDONLY), os.dup(first.fileno()), os.pidfd_open(os.getpid())]
        for descriptor in others:
            with pytest.raises(ControlError, match=r"^it: .* not a regular file$"):
                ask(None, request_type("it"), [descriptor])
            os.close(descriptor)
    path = tmp_path / "file"
    path.touch()
    wrong = os.O_RDONLY if request_type is StartRecord else os.O_WRONLY
    for flags in (wrong, os.O_PATH):
        descriptor = os.open(path, flags)
        with pytest.raises(ControlError, match=r"^it: the file is not open for"):
            ask(None, request_type("it"), [descriptor])
        with pytest.raises(ControlError, match="1 file descriptors expected, 2 came"):
            ask(None, request_type("it"), [descriptor] * 2)
        os.close(descriptor)
    with pytest.raises(ControlError, match="1 file descriptors expected, 0 came"):
        ask(None, request_type("it"))
    assert not machine.machine.adapters[5].filters


@pytest.mark.parametrize("path", ["/dev/zero", "/", "pipe"])
@pytest.mark.parametrize("action", ["start", "check"])
def test_what_can_be_no_record_is_a_sentence(machine, tmp_path, path, action):
    os.mkfifo(tmp_path / "pipe")
    assert "the record cannot be read" in command("replay", action, path, code=2).stderr


def test_a_name_that_no_file_can_have_is_a_sentence():
    for opened in (existing_record, new_record):
        with pytest.raises(ControlError, match=r"the record cannot be .* null byte"), opened(Path("no\0name")):
            pass


def test_a_refused_record_leaves_no_file(machine, tmp_path):
    command("record", "start", "traffic")
    for options, code in (((), 3), (("--adapter", "9"), 3)):
        command("record", "start", "other", *options, code=code)
        with pytest.raises(ControlError), new_record(tmp_path / "other") as descriptor:
            ask(None, StartRecord("other"), [descriptor])
    assert [path.name for path in tmp_path.glob("*r*")] == ["traffic"]
    assert "is already being recorded" in command("record", "start", "traffic", code=3).stderr


def test_a_system_without_the_recorded_queue(machine):
    command("record", "start", "traffic")
    assert rsa(machine) == "ok"
    command("record", "stop")
    refused = command("replay", "check", "traffic", "--from", "guest1", code=1)
    assert "kvm1/guest1 has no queue 05.0004: choose with --from" in refused.stderr


# in the file


def with_keys(machine="", adapter=""):
    return KEYS.replace('name = "keys"', f'name = "keys"\n{machine}', 1).replace(
        'type = "CEX8C"', f'type = "CEX8C"\n{adapter}', 1
    )


def test_faults_in_the_file_are_on_from_the_start(tmp_path, monkeypatch):
    monkeypatch.setenv("APMATRIX_STATE", str(tmp_path))
    text = with_keys(
        'faults = "domain=5 verb=PK reply=0x84"', 'faults = ["verb=PK reply=0x82 times=1", "lose=gone skip=9999"]'
    )
    with running(text) as machine:
        faults = json.loads(command("fault", "list", "--json").stdout)["faults"]
        assert [fault["fault"] for fault in faults] == [
            "domain=0x5 verb=PK reply=0x84",
            "adapter=5 verb=PK reply=0x82 times=1",
            "adapter=5 lose=gone skip=9999",
        ]
        assert [rsa(machine), rsa(machine), rsa(machine, "05.0005")] == ["EINVAL", "ok", "EINVAL"]
        command("fault", "remove", faults[0]["number"])
        assert rsa(machine, "05.0005") == "ok"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (with_keys('faults = "domain=5"'), "f.toml:4: machine.faults[0]: the fault has no effect"),
        (with_keys('faults = "adapter=9 lose=gone"'), "f.toml:4: machine.faults[0]: there is no adapter 9"),
        (
            with_keys(adapter='faults = ["lose=gone", "lose=away"]'),
            "f.toml:8: adapter[0].faults[1]: 'lose=away': give one of",
        ),
        (
            with_keys(adapter='faults = "adapter=6 lose=gone"'),
            "f.toml:8: adapter[0].faults[0]: adapter= is not allowed",
        ),
        (with_keys("faults = 5"), "f.toml:4: machine.faults: 5 is not a text such as 'verb=PK"),
        (with_keys("timing = 0"), "f.toml:4: machine.timing: is 0, but must be a number of seconds above 0"),
        (with_keys('timing = "slow"'), "f.toml:4: machine.timing: is 'slow', but must be a number of seconds"),
    ],
)
def test_what_is_wrong_in_the_file_has_its_place(text, finding):
    def start():
        with Emulation.start(parse(text, "f.toml")):
            pass

    with pytest.raises(ConfigError) as caught:
        start()
    assert str(caught.value).startswith(finding)


def test_a_wrong_fault_in_the_file_ends_every_command(tmp_path):
    path = tmp_path / "f.toml"
    path.write_text(with_keys('faults = "domain=5"'))
    for words in (("show", path), ("demo", path), ("up", path)):
        assert "f.toml:4: machine.faults[0]" in command(*words, code=2).stderr


def test_cards_take_their_time_if_the_file_says_so():
    clock = ManualClock()
    asked = []
    with Emulation.start(parse(with_keys("timing = 0.001"), "f.toml"), clock=clock) as emulation:
        assert all(len(adapter.filters) == 1 for adapter in emulation.machine.adapters.values())
        asked += [type(item) for item in emulation.machine.adapters[5].filters.chain]
    assert asked == [TimingModel]
    with Emulation.start(parse(KEYS, "f.toml"), clock=ManualClock()) as emulation:
        assert not emulation.machine.adapters[5].filters
