"""``apmatrix shell`` on a terminal says where it is."""

import os
import pty
import shutil

import pytest

from .place import missing
from .test_run import APMATRIX, THREE

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


def converse(command, environment, awaited, answer):
    """Run a command on a terminal; answer once it has printed what is awaited. What it printed, and its exit code."""
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
    return text, os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_a_shell_says_on_which_system_it_is(tmp_path, shell):
    if (path := shutil.which(shell)) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / ".bashrc").write_text("PS1='own> '\nPROMPT_COMMAND='PS1=\"own> \"'\n")
    environment = {**os.environ, "SHELL": path, "HOME": str(tmp_path), "PS1": "real> "}
    prompt = "[three-guests kvm1/guest2] "
    command = [*map(str, APMATRIX), "shell", THREE, "--guest", "guest2"]
    text, code = converse(command, environment, prompt, "echo $APMATRIX_MACHINE:$APMATRIX_SYSTEM\nexit 7\n")
    assert code == 7
    assert "process group" not in text
    assert text.startswith(
        "apmatrix: this shell is on kvm1/guest2 of the emulated machine three-guests; exit leaves it"
    )
    assert f"{prompt}{'own> ' if shell == 'bash' else '$ '}" in text
    assert "three-guests:kvm1/guest2\r\n" in text


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    "own",
    [
        "PROMPT_COMMAND='PS1=\"own> \"; '",
        "PROMPT_COMMAND='PS1=\"own> \" # mine'",
        "PROMPT_COMMAND=(true 'PS1=\"own> \"')",
        "",
    ],
)
def test_what_the_user_s_bash_does_before_each_prompt(tmp_path, own):
    (tmp_path / ".bashrc").write_text(f"PS1='own> '\n{own}\n")
    environment = {**os.environ, "SHELL": shutil.which("bash"), "HOME": str(tmp_path)}
    environment.pop("PROMPT_COMMAND", None)
    prompt = "[three-guests kvm1] own> "
    text, code = converse([*map(str, APMATRIX), "shell", THREE], environment, prompt, "exit 0\n")
    assert "syntax error" not in text
    assert prompt in text
    assert code == 0
