"""Orders to end ``apmatrix run``."""

import os
import signal
import subprocess
import sys

import pytest

from apmatrix.service.run import interruptions_passed_on


def told_to_end(number, command, *, gone):
    """Get a signal while a command is running, or after its end."""
    with interruptions_passed_on(command.pid):
        if gone:
            command.wait()
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_order_to_end_may_find_the_command_gone(number):
    """As when timeout(1) signals the process, and then its group."""
    command = subprocess.Popen([sys.executable, "-c", ""])
    with pytest.raises(SystemExit) as ended:
        told_to_end(number, command, gone=True)
    assert ended.value.code == 128 + number


def test_an_order_to_end_ends_the_command():
    command = subprocess.Popen(["/bin/sleep", "600"])
    with pytest.raises(SystemExit):
        told_to_end(signal.SIGTERM, command, gone=False)
    assert command.wait() == -signal.SIGKILL
