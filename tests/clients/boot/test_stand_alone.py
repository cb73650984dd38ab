"""Stand-alone programs in QEMU, by the command."""

import subprocess

import pytest

from support.standalone import elf, flat

from ..conftest import APMATRIX


def boot(kernel, *where):
    command = [APMATRIX, "boot", *where, "--kernel", kernel]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)


@pytest.fixture
def kernel(tmp_path):
    (tmp_path / "program").write_bytes(flat())
    return tmp_path / "program"


@pytest.mark.parametrize("make", [flat, elf])
def test_a_program_runs_until_it_stops(machine_file, kernel, make):
    kernel.write_bytes(make())
    done = boot(kernel, machine_file)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_program_that_ends_in_a_disabled_wait_has_crashed(machine_file, kernel):
    done = boot(kernel, machine_file, "--guest", "guest1")  # which has no domain 4
    assert done.returncode == 1
    assert "the program crashed: disabled wait, PSW 0002000180000000 0000000000000002" in done.stderr


def test_what_the_file_offers_is_what_the_program_sees(machine_file, kernel):
    machine_file.write_text("[machine]\nfacilities = [15]\n" + machine_file.read_text())
    done = boot(kernel, machine_file)
    assert "disabled wait, PSW 0002000180000000 0000000000000001" in done.stderr


@pytest.mark.parametrize("option", [("--exec", "lszcrypt"), ("--interactive",)])
def test_a_program_has_no_shell(machine_file, kernel, option):
    done = boot(kernel, machine_file, *option)
    assert done.returncode == 2
    assert f"{kernel} is not Linux: it has no shell for --exec or --interactive" in done.stderr


def test_a_program_on_a_running_machine(machine_file, kernel, tmp_path, monkeypatch):
    monkeypatch.setenv("APMATRIX_STATE", str(tmp_path / "state"))
    machine_file.write_text(machine_file.read_text().replace("start = true", "start = false"))
    subprocess.run([APMATRIX, "up", machine_file], check=True, capture_output=True)
    try:
        done = boot(kernel, "--machine", machine_file.stem)
        assert done.returncode == 0, done.stderr
    finally:
        subprocess.run([APMATRIX, "down", machine_file.stem], check=True, capture_output=True)
