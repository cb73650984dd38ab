"""Ctrl-C before a machine or a command is there: exit code 130, and nothing is left."""

import os
import signal
import subprocess
from contextlib import contextmanager

import pytest

from .place import missing
from .test_run import APMATRIX, THREE

HELD = """
import os
real, calls = os.{function}, []
def held(*arguments, **named):
    result = real(*arguments, **named)
    calls.append(arguments)
    if len(calls) == {call}:
        open("{place}/there", "wb").close()
        open("{place}/go", "rb").close()
    return result
os.{function} = held
"""
"""Stops at both pipes after a call of a function."""


@contextmanager
def held_after(function, tmp_path, words, *, call=1):
    """A process group of ``apmatrix WORDS``, one of which is held after it has called a function of os."""
    (tmp_path / "sitecustomize.py").write_text(HELD.format(function=function, call=call, place=tmp_path))
    for name in ("there", "go"):
        os.mkfifo(tmp_path / name)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "APMATRIX_STATE": str(tmp_path / "state")}
    environment.pop("APMATRIX_MACHINE", None)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*APMATRIX, *words],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        env=environment,
        start_new_session=True,
        text=True,
        preexec_fn=_heed_interruptions,  # noqa: PLW1509 - no test has threads here
    ) as process:
        (tmp_path / "there").open("rb").close()  # waits until the function has been called
        try:
            yield process
        finally:
            process.kill()


def _heed_interruptions():
    """A shell in the background lets its commands ignore SIGINT, and the tests may run there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ended(process):
    output, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    return process.returncode, output


def test_up_in_the_background_is_given_up(tmp_path):
    with held_after("setsid", tmp_path, ["up", THREE]) as process:
        os.killpg(process.pid, signal.SIGINT)
        (tmp_path / "go").open("wb").close()
        assert ended(process) == (130, "")
    assert list((tmp_path / "state").iterdir()) == []


def test_up_at_its_prompt_is_given_up(tmp_path):
    with held_after("mkdir", tmp_path, ["up", THREE, "--ask-passphrase"], call=2) as process:
        assert [path.name for path in (tmp_path / "state").iterdir()] == ["three-guests"]
        os.killpg(process.pid, signal.SIGINT)
        assert ended(process) == (130, "")
    assert list((tmp_path / "state").iterdir()) == []


@pytest.mark.skipif(bool(missing()), reason=missing() or "-")
@pytest.mark.parametrize("words", [["run", THREE, "--", "echo", "ran"], ["shell", THREE]])
def test_a_command_that_is_not_there_yet_never_comes(tmp_path, words):
    """The supervisor is held when it enters the current directory again, just before the command's init process."""
    with held_after("chdir", tmp_path, words) as process:
        os.killpg(process.pid, signal.SIGINT)
        assert ended(process) == (130, "")
