"""Whose directory a machine keeps its state in, and how it is looked at."""

import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from apmatrix.config import parse
from apmatrix.service.client import connect
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.state import StateDirectory, machines, state_directory

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
BOB = 4343


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setenv("APMATRIX_STATE", str(tmp_path / "machines"))
    return tmp_path / "machines"


def refusal(work):
    """The sentence of what is refused as unreadable input."""
    with pytest.raises(ControlError) as caught:
        work()
    assert caught.value.code is ExitCode.UNREADABLE
    return str(caught.value)


def take(state):
    with state.locked():
        pass


def test_all_directories_are_this_users_alone_whatever_the_umask(base, monkeypatch):
    monkeypatch.setenv("APMATRIX_STATE", str(base / "a" / "b"))
    old = os.umask(0)
    try:
        take(StateDirectory.of("cpc1"))
    finally:
        os.umask(old)
    for directory in (base, base / "a", base / "a" / "b", base / "a" / "b" / "cpc1"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777])
@pytest.mark.parametrize("which", ["base", "machine"])
def test_a_directory_that_others_can_write_to_is_refused(base, which, mode):
    state = StateDirectory.of("cpc1")
    state.make()
    directory = base if which == "base" else state.path
    directory.chmod(mode)
    assert refusal(state.make) == f"others can write to {directory}: chmod go-w {directory}"
    assert refusal(lambda: take(state)).startswith("others can write to ")


def test_a_directory_below_one_that_everybody_can_change_is_refused(base, tmp_path):
    state = StateDirectory.of("cpc1")
    state.make()
    tmp_path.chmod(0o777)
    assert refusal(state.make).startswith(f"everybody can replace {base}, for they can write to {tmp_path}: set")
    tmp_path.chmod(0o1777)
    state.make()


@needs_root
@pytest.mark.parametrize("name", [".", "cpc1", "cpc1/key", "cpc1/keys", "cpc1/lock", "cpc1/log"])
def test_what_belongs_to_another_user_is_refused(base, name):
    state = StateDirectory.of("cpc1")
    state.make()
    path = base / name
    if not path.exists():
        path.touch(mode=0o600)
    os.chown(path, BOB, BOB)
    assert refusal(state.make).startswith(f"{path} belongs to user {BOB}, not to you: set APMATRIX_STATE to")


@pytest.mark.parametrize("name", ["cpc1", "cpc1/key", "cpc1/keys", "cpc1/lock", "cpc1/log", "cpc1/systems"])
def test_symbolic_links_are_not_followed(base, tmp_path, name):
    base.mkdir(mode=0o700)
    path = base / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    elsewhere = tmp_path / "elsewhere"
    if name == "cpc1":
        elsewhere.mkdir(mode=0o700)
    path.symlink_to(elsewhere)
    state = StateDirectory.of("cpc1")
    assert refusal(lambda: take(state)).startswith(f"{path} is a symbolic link, which is not followed: ")
    assert elsewhere.exists() == (name == "cpc1")


def test_no_log_is_written_through_a_link(base, tmp_path):
    state = StateDirectory.of("cpc1")
    state.make()
    state.log.symlink_to(tmp_path / "elsewhere")
    assert "Too many levels of symbolic links" in refusal(state.open_log)
    assert not (tmp_path / "elsewhere").exists()


def test_a_key_file_that_others_can_read_is_refused(base):
    state = StateDirectory.of("cpc1")
    state.make()
    (state.path / "key").touch()
    (state.path / "key").chmod(0o644)
    assert refusal(state.make).startswith(f"{state.path}/key can be used by others: ")


@needs_root
def test_a_machine_of_another_user_is_not_asked(base):
    """The process that listens is looked at, whoever has the directory."""
    state = StateDirectory.of("cpc1")
    state.make()
    base.chmod(0o700)
    listening, done = os.pipe(), os.pipe()
    if not (child := os.fork()):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(state.socket))
        os.setresuid(BOB, BOB, BOB)
        listener.listen()
        os.write(listening[1], b"x")
        os.close(done[1])
        os.read(done[0], 1)
        os._exit(0)
    os.read(listening[0], 1)
    try:
        assert refusal(lambda: connect(state.socket)).startswith(f"{state.socket}: user {BOB} listens there, not you")
    finally:
        for descriptor in (*listening, *done):
            os.close(descriptor)
        os.waitpid(child, 0)


def test_a_relative_directory_is_refused_and_xdgs_is_ignored(monkeypatch, tmp_path):
    monkeypatch.setenv("APMATRIX_STATE", "machines")
    assert refusal(state_directory) == "APMATRIX_STATE is machines: give an absolute path"
    monkeypatch.delenv("APMATRIX_STATE")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    assert state_directory() == tmp_path / ".local/state/apmatrix"
    monkeypatch.setenv("XDG_STATE_HOME", "/var/states")
    assert str(state_directory()) == "/var/states/apmatrix"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "x" * 256, "ü" * 128])
def test_what_cannot_name_a_machine_is_a_sentence(base, name):
    assert "cannot name a machine: " in refusal(lambda: StateDirectory.of(name))


def test_looking_at_a_machine_does_not_keep_it_from_starting(base):
    state = StateDirectory.of("cpc1")
    take(state)
    stop = threading.Event()

    def look():
        found = set()
        while not stop.is_set():
            found.add(state.running())
        return found

    with ThreadPoolExecutor(3) as pool:
        looks = [pool.submit(look) for _ in range(3)]
        try:
            assert not state.running()
            for _ in range(200):
                take(state)
        finally:
            stop.set()
        for each in looks:
            assert each.result() <= {False, True}


def test_looks_do_not_take_each_other_for_a_machine(base):
    state = StateDirectory.of("cpc1")
    take(state)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: state.running(), range(500))) == {False}


def test_a_second_machine_is_refused(base):
    state = StateDirectory.of("cpc1")
    with state.locked():
        assert state.running()
        with pytest.raises(ControlError, match="already running") as caught:
            take(state)
    assert caught.value.code is ExitCode.UNREACHABLE
    assert not state.running()


def test_a_file_has_no_machines(base):
    assert machines() == []
    base.touch()
    assert (
        refusal(machines)
        == f"{base}: Not a directory: set APMATRIX_STATE to a directory of yours, where machines are kept"
    )


def test_an_error_of_the_file_system_is_a_sentence(base):
    state = StateDirectory.of("cpc1")
    state.make()
    state.socket.mkdir()
    assert refusal(lambda: take(state)).startswith(f"{state.socket}: Is a directory: ")


def test_systems_of_different_names_share_nothing(base):
    state = StateDirectory.of("cpc1")
    assert state.of_system("a/b") != state.of_system("a.b")
    assert state.of_system("a/b/c") != state.of_system("a.b/c")
    assert state.of_system("a/b").parent == state.of_system("a").parent


FILE = '[[lpar]]\nname = "lpar"\n'


def test_files_with_different_names_are_different_machines():
    stems = ["a b", "a\nb", "a\tb", "%n", "-n", "n", "ü", "", "x" * 300, "x" * 64, "x" * 65, ".", "_n"]
    names = [str(parse(FILE, f"dir/{stem}.toml").machine.name) for stem in stems]
    assert len(set(names)) == len(stems)
    assert all(name[:1].isalnum() and len(name) <= 64 for name in names)
    assert names[0] == "a-b"
    assert names[9] == "x" * 64


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="root needs setpriv, to drop rights")
@pytest.mark.parametrize("mode", [0, 0o500, 0o300], ids=oct)
def test_a_user_forgets_what_overlayfs_has_closed(base, mode):
    """An overlay of /etc leaves ``work/work`` without any permission; root may enter it, its owner may not."""
    state = StateDirectory.of("cpc1")
    take(state)
    closed = state.of_system("kvm1") / "etc" / "work1" / "work"
    (closed / "index").mkdir(parents=True)
    closed.chmod(mode)
    program = "from apmatrix.service.state import StateDirectory; StateDirectory.of('cpc1').forget()"
    without = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    subprocess.run([*without, sys.executable, "-c", program], check=True)
    assert not state.path.exists()


@pytest.mark.parametrize(("name", "use"), [("lock", "running"), ("lock", "make and lock"), ("log", "open_log")])
@pytest.mark.parametrize("kind", ["pipe", "directory"])
def test_only_regular_files_are_used_and_nobody_waits_for_a_pipe(base, name, use, kind):
    state = StateDirectory(base / "m")
    state.make()
    path = state.path / name
    os.mkfifo(path, 0o600) if kind == "pipe" else path.mkdir(0o700)
    act = {"running": state.running, "make and lock": lambda: take(state), "open_log": state.open_log}[use]
    assert str(path) in refusal(act)


def test_keys_that_may_not_be_looked_at(base, monkeypatch):
    state = StateDirectory(base / "m")
    state.make()

    def refuse(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    assert "Permission denied: set APMATRIX_STATE" in refusal(state.keeps_keys)
