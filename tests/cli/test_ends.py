"""How commands end: output that cannot be written, a reader that is gone, Ctrl-C. One sentence, and an exit code."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from support.documents import ROOT

PROGRAM = Path(sys.executable).parent / "apmatrix"
THREE = "examples/three-guests.toml"
COMMANDS = {
    "help": ["--help"],
    "version": ["--version"],
    "help of a command": ["show", "--help"],
    "help of a subcommand": ["key", "load", "--help"],
    "show": ["show", THREE],
    "show as JSON": ["show", "--json", THREE],
    "explain": ["explain", THREE, "guest1"],
    "demo": ["demo", THREE],
    "demo as JSON": ["demo", "--json", THREE],
    "rule": ["rule"],
    "a rule": ["rule", "MTX-21"],
    "status": ["status"],
    "status as JSON": ["status", "--json"],
    "run": ["run", "--help"],
}
each_command = pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)


@pytest.fixture
def environment(tmp_path):
    return {**os.environ, "APMATRIX_STATE": str(tmp_path), "COLUMNS": "100"}


def start(words, environment, *before, **streams):
    command = [*before, PROGRAM, *words]
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stderr=subprocess.PIPE, **streams)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@each_command
def test_a_full_disk(words, environment):
    with Path("/dev/full").open("w") as full:
        process = start(words, environment, stdout=full)
        assert process.communicate(timeout=100)[1] == "apmatrix: standard output: No space left on device\n"
    assert process.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@each_command
def test_a_full_disk_does_not_matter_to_a_command_that_has_nothing_to_say(words, environment):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([PROGRAM, *words], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=full)
    assert done.returncode == 0


@each_command
def test_a_closed_standard_output(words, environment):
    shell = ["sh", "-c", 'exec "$0" "$@" >&-', PROGRAM, *words]
    done = subprocess.run(shell, cwd=ROOT, env=environment, text=True, stderr=subprocess.PIPE, timeout=100)
    assert done.stderr == "apmatrix: standard output: Bad file descriptor\n"
    assert done.returncode == 1


@each_command
def test_a_broken_pipe(words, environment):
    reading, writing = os.pipe()
    os.close(reading)
    process = start(words, environment, stdout=writing)
    os.close(writing)
    assert process.communicate(timeout=100)[1] == ""
    assert process.returncode == 141


@pytest.mark.parametrize("words", [["demo", "examples/large.toml"], ["shwo"]], ids=" ".join)
def test_closed_standard_input_and_error(words, environment):
    shell = ["sh", "-c", 'exec "$0" "$@" <&- 2>&-', PROGRAM, *words]
    done = subprocess.run(shell, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, timeout=100)
    assert done.returncode == (2 if words == ["shwo"] else 0)


def test_an_interrupted_command(environment):
    # A shell in the background lets its commands ignore SIGINT, and the tests may run there.
    script = "import os, signal, sys; signal.signal(2, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    before = (sys.executable, "-c", script)
    process = start(["demo", "examples/large.toml"], environment, *before, stdout=subprocess.PIPE)
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=100)[1] == ""
    assert process.returncode == 130


def on_a_terminal(words, environment):
    """The lines that a command of exit code 2 says on a terminal of 60 columns."""
    terminal, ours = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    command = [str(PROGRAM), *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=ours, timeout=100)
    os.close(ours)
    lines = os.read(terminal, 4096).decode().splitlines()
    os.close(terminal)
    assert done.returncode == 2
    return lines


def test_a_usage_error_is_folded_on_a_terminal(environment):
    assert on_a_terminal(["explain", THREE, "guest1", "0x5.0x4"], environment) == [
        "Usage: apmatrix explain [OPTIONS] [FILE] GUEST [APQN]",
        "Try 'apmatrix explain --help' for help.",
        "",
        "Error: Invalid value for APQN: '0x5.0x4' is not an APQN such",
        "  as 05.00ab (hexadecimal adapter.domain); did you mean",
        "  05.0004?",
    ]


def test_a_sentence_is_folded_on_a_terminal(environment):
    assert on_a_terminal(["example", "of-another-name"], environment) == [
        "apmatrix: there is no example of-another-name: choose one of",
        "  invalid-shared-queue, large, master-keys, nested,",
        "  shared-adapters, three-guests",
    ]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@each_command
def test_a_locale_without_utf_8(words, encoding, environment):
    """What it does not have is written in ASCII; JSON is UTF-8 all the same."""
    process = start(words, {**environment, "PYTHONIOENCODING": encoding}, stdout=subprocess.PIPE)
    out, errors = process.communicate(timeout=100)
    assert (process.returncode, errors) == (0, "")
    if "--json" in words:
        json.loads(out)
    else:
        assert out.isascii()
        assert "\\" not in out


def test_json_has_its_own_encoding(environment):
    process = start(["rule", "--json"], {**environment, "PYTHONIOENCODING": "ascii"}, stdout=subprocess.PIPE)
    assert "6.1 -> 7.2" in process.communicate(timeout=100)[0]


def test_a_name_in_any_script(environment):
    """What has no other form is escaped."""
    process = start(["example", "кв"], {**environment, "PYTHONIOENCODING": "latin-1"})
    assert "there is no example \\u043a\\u0432: " in process.communicate(timeout=100)[1]
