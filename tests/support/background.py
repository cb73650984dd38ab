"""A machine in the background, in processes of its own: what a kill leaves, and what /proc shows."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.running import KEYS

if TYPE_CHECKING:
    from collections.abc import Sequence

QUESTION = re.compile(rb"(?:passphrase|confirmation): ")
PROGRAM = str(Path(sys.executable).with_name("apmatrix"))


class Site:
    """A machine in the background, by its commands only."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "keys.toml"
        self.file.write_text(KEYS)
        self.state = directory / "state" / "keys"
        self.environment = os.environ | {"APMATRIX_STATE": str(directory / "state")}
        for name in ("APMATRIX_MACHINE", "APMATRIX_KEY_FILE", "APMATRIX_PASSPHRASE"):
            self.environment.pop(name, None)

    def run(
        self, *words: object, code: int = 0, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [PROGRAM, *map(str, words)],
            input=stdin,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == code, done.stderr
        return done

    def typed(self, *words: object, lines: Sequence[str]) -> str:
        """Run a command on a terminal, where each of ``lines`` is typed when it asks; what it shows.

        What is typed before a question is thrown away, so only the ends of questions count.
        """
        ours, theirs = os.openpty()
        command = [PROGRAM, *map(str, words)]
        with subprocess.Popen(command, env=self.environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            shown, asked = b"", 0
            while True:
                if not select.select([ours], [], [], 60)[0]:
                    process.kill()
                    break
                try:
                    shown += os.read(ours, 4096)
                except OSError:  # nobody has the terminal open any more
                    break
                if len(QUESTION.findall(shown)) > asked and asked < len(lines):
                    os.write(ours, lines[asked].encode() + b"\n")
                    asked += 1
            assert process.wait(60) == 0, shown
        os.close(ours)
        return shown.decode()

    def up(self, *options: object, **more: Any) -> subprocess.CompletedProcess[str]:
        return self.run("up", self.file, *options, **more)

    @property
    def process(self) -> int:
        """The process of the running machine."""
        found = machine_process(self.state)
        assert found is not None
        return found

    def kill(self) -> None:
        """SIGKILL the service, and wait until it is gone."""
        process = self.process
        descriptor = os.pidfd_open(process)
        os.kill(process, signal.SIGKILL)
        assert select.select([descriptor], [], [], 30)[0]
        os.close(descriptor)

    def states(self, *words: object) -> dict[str, Any]:
        (keys,) = json.loads(self.run("key", *words, "--adapter", 5, "--domain", 4, "--json").stdout)["domains"]
        state: dict[str, Any] = keys["registers"]["AES"]
        return state

    def change_key(self) -> dict[str, Any]:
        self.states("load", "aes", "--random")
        return self.states("set", "aes")


def machine_process(state: Path) -> int | None:
    """The process that serves the machine of a state directory; None if none is running."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.fspath(state / "control"))
        except OSError:
            return None
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    process: int = struct.unpack("3i", credentials)[0]
    return process
