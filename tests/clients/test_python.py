"""Programs that are run on a machine of the Python API."""

import os
import subprocess
import sys
import threading

import pytest

import apmatrix
from support.documents import documented_tests, programs, run_program

from .conftest import ROOT, THREE, need


@pytest.fixture
def machine():
    with apmatrix.Machine.from_file(THREE) as machine:
        yield machine


@pytest.mark.parametrize("story", [pytest.param(story, id=story[0].name) for story in programs(mounted=True)])
def test_programs_in_the_documents(story, monkeypatch):
    monkeypatch.chdir(ROOT)
    run_program(story)


def test_a_program_sees_the_system_that_is_named(machine):
    assert machine.run(["cat", "/sys/bus/ap/apmask"]).stdout == f"{machine.lpar().sysfs.read('bus/ap/apmask')}\n"
    done = machine.guest("guest2").run(["ls", "/sys/bus/ap/devices"])
    assert done.stdout.split() == ["05.0047", "05.00ff", "card05"]
    assert (done.args, done.returncode, done.stderr) == (("ls", "/sys/bus/ap/devices"), 0, "")


def test_input_directory_environment_and_exit_code_are_the_callers(machine, tmp_path):
    script = 'cat; pwd; echo "$WORD" >&2; exit 3'
    done = machine.run(
        ["sh", "-c", script], input="in\n", cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "WORD": "word"}
    )
    assert (done.stdout, done.stderr, done.returncode) == (f"in\n{tmp_path}\n", "word\n", 3)
    assert machine.run(["cat"]).stdout == ""
    assert machine.run(["no-such-program"]).returncode == 127
    with pytest.raises(subprocess.CalledProcessError) as caught:
        machine.run(["sh", "-c", "echo why >&2; exit 4"], check=True)
    assert (caught.value.returncode, caught.value.stderr) == (4, "why\n")


def test_what_a_program_does_is_seen_and_lasts(machine):
    host = machine.lpar()
    host.run(["sh", "-c", "echo -7 > /sys/bus/ap/apmask"], check=True)
    assert host.sysfs.read("bus/ap/apmask").startswith("0xf8")
    host.run(["apmatrix", "guest", "stop", "guest1"], check=True)
    assert not machine.guest("guest1").running


def test_a_program_that_takes_too_long_is_killed_with_all_that_it_started(machine):
    words = f"sleep {os.getpid()}12345"
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        machine.run(["sh", "-c", f"{words} & {words}"], timeout=5)
    assert caught.value.cmd == ("sh", "-c", f"{words} & {words}")
    assert words not in subprocess.run(["ps", "axo", "args"], capture_output=True, text=True, check=True).stdout
    assert machine.run(["true"]).returncode == 0


def test_several_programs_run_at_once(machine):
    seen = {}

    def look(name):
        seen[name] = machine.guest(name).run(["ls", "/sys/bus/ap/drivers/cex4queue"]).stdout.split()

    names = ("guest1", "guest2", "guest3")
    threads = [threading.Thread(target=look, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in names:
        assert {each for each in seen[name] if "." in each} == {str(apqn) for apqn in machine.guest(name).queues}


def test_a_system_that_does_not_run_runs_nothing(machine):
    machine.guest("guest1").stop()
    with pytest.raises(apmatrix.NotRunning):
        machine.guest("guest1").run(["true"])


def test_the_test_of_mdevctl_in_the_document_passes(tmp_path):
    need("mdevctl", "mdevctl")
    (block,) = [block for block in documented_tests() if block.words[1] == "test_mdevctl.py"]
    (tmp_path / "test_mdevctl.py").write_text(block.content)
    (tmp_path / "apmatrix.toml").write_text(THREE.read_text())
    words = [sys.executable, "-m", "pytest", "-q", "--apmatrix-require-run", "--rootdir", tmp_path, tmp_path]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout
