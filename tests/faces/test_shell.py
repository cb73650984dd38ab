"""``apmatrix shell`` on a terminal says where it is."""

import os
import pty
import shutil

import pytest

from .place import missing
from .test_run import APMATRIX, THREE

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


def converse(command, environment, awaited, answer):
    """Run a command on a terminal; answer once it has printed what is awaited. What it printed."""
    process, terminal = pty.fork()
    if process == 0:
        os.execve(command[0], command, environment)
    text = ""
    while awaited not in text and (part := os.read(terminal, 4096)):
        text += part.decode()
    os.write(terminal, answer.encode())
    try:
        while part := os.read(terminal, 4096):
            text += part.decode()
    except OSError:  # so ends what a terminal's other end reads
        pass
    os.close(terminal)
    os.waitpid(process, 0)  # dash ends with 2: its first process group is outside of its PID namespace
    return text


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_a_shell_says_on_which_system_it_is(tmp_path, shell):
    if (path := shutil.which(shell)) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / ".bashrc").write_text("PS1='own> '\nPROMPT_COMMAND='PS1=\"own> \"'\n")
    environment = {**os.environ, "SHELL": path, "HOME": str(tmp_path), "PS1": "real> "}
    prompt = "[three-guests kvm1/guest2] "
    command = [*map(str, APMATRIX), "shell", THREE, "--guest", "guest2"]
    text = converse(command, environment, prompt, "echo $APMATRIX_MACHINE:$APMATRIX_SYSTEM\nexit 0\n")
    assert text.startswith(
        "apmatrix: this shell is on kvm1/guest2 of the emulated machine three-guests; exit leaves it"
    )
    assert f"{prompt}{'own> ' if shell == 'bash' else '$ '}" in text
    assert "three-guests:kvm1/guest2\r\n" in text
