"""Every tree answers alike: an emulated system, a copy of it in a directory, a recording of it."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from apmatrix.arch import Apqn
from apmatrix.config import parse
from apmatrix.emulation import Emulation, SysfsTree
from apmatrix.hosts import LocalTree, Query, QueryKind, RecordingTree, Shell, Snapshot, Tree, lszcrypt, read_facts
from apmatrix.hosts.explain import GuestOfHost, host_steps
from apmatrix.hosts.facts import BUS, MATRIX, UnreadableFact

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
[[adapter]]
ids = "5,6"
type = "CEX8C"
[[lpar]]
name = "kvm1"
adapters = "5,6"
usage_domains = "4,6"
  [lpar.host]
  apmask = "-5"
  [[lpar.guest]]
  name = "guest1"
  uuid = "62177883-f1bb-47f0-914d-32a22e3a8804"
  adapters = "5"
  domains = "4,6"
"""
UUID = "62177883-f1bb-47f0-914d-32a22e3a8804"


@pytest.fixture(scope="module")
def emulated():
    with Emulation.start(parse(FILE, "f.toml")) as emulation:
        emulation.lpars[0].shell.write("bus/ap/drivers/vfio_ap/unbind", "05.0006")
        yield SysfsTree(emulation.lpars[0].linux.sysfs)


def copy(tree: Tree, path: str, root: Path) -> None:
    """Write a tree below ``root`` as a real one is: directories, files, links."""
    for name in tree.list(path):
        place = f"{path}/{name}"
        target = root / place.lstrip("/")
        answers = tree.ask([Query(kind, place) for kind in (QueryKind.LINK, QueryKind.LIST, QueryKind.READ)])
        link, names, content = answers
        if isinstance(link, str):
            target.symlink_to(os.path.relpath(f"/sys/{link}" if not link.startswith("/") else link, path))
        elif isinstance(names, list):
            target.mkdir()
            copy(tree, place, root)
        elif isinstance(content, bytes):
            target.write_bytes(content)


@pytest.fixture
def local(emulated, tmp_path):
    (tmp_path / "sys").mkdir()
    copy(emulated, "/sys", tmp_path)
    return LocalTree(tmp_path)


@pytest.fixture
def recorded(emulated):
    recorder = RecordingTree(emulated)
    read_facts(recorder, [Apqn(5, 4), Apqn(6, 4)])
    entries = json.loads(json.dumps(recorder.snapshot.as_json()))
    return Snapshot.from_json(entries)


@pytest.mark.parametrize("name", ["local", "recorded"])
def test_the_facts_are_those_of_the_emulated_system(name, emulated, request):
    tree = request.getfixturevalue(name)
    queues = [Apqn(5, 4), Apqn(6, 4)]
    facts = read_facts(tree, queues)
    assert facts == read_facts(emulated, queues)
    assert facts.drivers == {
        Apqn(5, 4): "vfio_ap",
        Apqn(5, 6): None,
        Apqn(6, 4): "cex4queue",
        Apqn(6, 6): "cex4queue",
    }
    guest = GuestOfHost("guest1", UUID)
    steps = list(host_steps("kvm1", facts, guest, Apqn(5, 4)))
    assert [step.subject for step in steps if not step.passes] == ["filter"]
    assert "05.0006 is not bound to vfio_ap, and that costs the whole adapter" in steps[-1].text


def test_a_copy_shows_the_same_cards(local, emulated):
    # Some reads ask the cards, so the counters of requests go on.
    rows = [[replace(row, requests="") for row in lszcrypt.rows(Shell("kvm1", tree))] for tree in (local, emulated)]
    assert rows[0] == rows[1] != []


@pytest.mark.parametrize(
    ("kind", "path", "error"),
    [
        (QueryKind.READ, f"{BUS}/nothing", errno.ENOENT),
        (QueryKind.LIST, f"{MATRIX}/{UUID}/matrix", errno.ENOTDIR),
        (QueryKind.LINK, f"{BUS}/apmask", errno.EINVAL),
        (QueryKind.READ, f"{BUS}/devices", errno.EISDIR),
        (QueryKind.READ, "/etc/nothing", errno.ENOENT),
    ],
)
def test_errors_are_the_kernels(kind, path, error, emulated, local):
    for tree in (emulated, local):
        (answer,) = tree.ask([Query(kind, path)])
        assert isinstance(answer, OSError), tree
        assert answer.errno == error, tree
    recorder = RecordingTree(emulated)
    recorder.ask([Query(kind, path)])
    (again,) = Snapshot.from_json(recorder.snapshot.as_json()).ask([Query(kind, path)])
    assert isinstance(again, OSError)
    assert again.errno == error


def test_a_snapshot_takes_no_writes_and_knows_only_what_was_asked(recorded):
    with pytest.raises(OSError, match="snapshot") as refused:
        recorded.write(f"{BUS}/apmask", b"-5\n")
    assert refused.value.errno == errno.EROFS
    with pytest.raises(FileNotFoundError):
        recorded.read(f"{BUS}/config_time")


def test_contents_that_are_no_text_survive_a_snapshot():
    query = Query(QueryKind.READ, "/sys/x")
    again = Snapshot.from_json(json.loads(json.dumps(Snapshot({query: b"\xff\x00serial\n"}).as_json())))
    assert again.read("/sys/x") == b"\xff\x00serial\n"


@pytest.mark.parametrize(
    "entry", [{}, {"read": "/x"}, {"read": "/x", "error": "EWHAT"}, {"read": "/x", "is": "é"}, "no"]
)
def test_rubbish_is_no_snapshot(entry):
    with pytest.raises(ValueError, match=r"."):
        Snapshot.from_json([entry])


def test_a_local_write_is_one_write_to_a_file_that_is_there(local, tmp_path):
    local.write(f"{BUS}/apmask", b"-6\n")
    assert (tmp_path / "sys/bus/ap/apmask").read_bytes()[:3] == b"-6\n"
    with pytest.raises(FileNotFoundError):
        local.write(f"{BUS}/new", b"1\n")


def test_a_recorder_forgets_what_a_write_changes(emulated):
    recorder = RecordingTree(emulated)
    before = recorder.read(f"{BUS}/config_time")
    recorder.write(f"{BUS}/config_time", b"77\n")
    with pytest.raises(FileNotFoundError):
        recorder.snapshot.read(f"{BUS}/config_time")
    assert recorder.read(f"{BUS}/config_time") == b"77\n"
    recorder.write(f"{BUS}/config_time", before)


def test_a_system_without_ap_has_no_facts(tmp_path):
    facts = read_facts(LocalTree(tmp_path))
    assert (facts.drivers, facts.mdevs, len(facts.matrix)) == ({}, {}, 0)


def test_MTX41_a_matrix_that_was_cut_is_completed_by_the_filter():
    text = FILE.replace('"4,6"', '"0-255"').replace("apmask", "aqmask").replace('"-5"', '["-0-255"]')
    text = text.replace('adapters = "5"\n', 'adapters = "5,6"\n')
    with Emulation.start(parse(text, "f.toml")) as emulation:
        shell = emulation.lpars[0].shell
        assert len(shell.read(f"{MATRIX}/{UUID}/guest_matrix")) == 4095
        facts = read_facts(shell.tree)
    assert facts.mdevs[UUID].handed_on == facts.mdevs[UUID].assigned
    assert len(facts.mdevs[UUID].handed_on) == 512


BUS_FILES = {"apmask": b"0x" + b"f" * 64 + b"\n", "aqmask": b"0x" + b"f" * 64 + b"\n"}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (f"{BUS}/apmask", b"\xff\x00"),
        (f"{BUS}/ap_adapter_mask", b"0xgg\n"),
        (f"{MATRIX}/{UUID}/ap_config", b""),
        (f"{MATRIX}/{UUID}/ap_config", b"0x0,0x0\n"),
        (f"{MATRIX}/{UUID}/ap_config", b"0x0,0x0,0x0,0x0\n"),
        (f"{MATRIX}/{UUID}/ap_config", b"\x80,\x81,\x82"),
    ],
)
def test_a_content_that_no_linux_gives_is_named(tmp_path, file, content):
    for path, data in ({f"{BUS}/{name}": data for name, data in BUS_FILES.items()} | {file: content}).items():
        place = tmp_path / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    with pytest.raises(UnreadableFact, match=f"^{file}: "):
        read_facts(LocalTree(tmp_path))


def test_names_that_are_no_queues_are_passed_over(tmp_path):
    for name in ("foo.bar", ".hidden", "05.0100", "card05", "05.0004"):
        (tmp_path / "sys/bus/ap/devices" / name).mkdir(parents=True)
    (tmp_path / "sys/bus/ap/drivers/vfio_ap/mod.x").mkdir(parents=True)
    assert read_facts(LocalTree(tmp_path)).drivers == {Apqn(5, 4): None}


def test_an_errno_without_a_name_survives_a_snapshot():
    query = Query(QueryKind.READ, "/sys/x")
    snapshot = Snapshot.from_json(json.loads(json.dumps(Snapshot({query: OSError(524, "?", "/sys/x")}).as_json())))
    with pytest.raises(OSError, match="/sys/x") as error:
        snapshot.read("/sys/x")
    assert error.value.errno == 524
