"""Record what a real kernel with vfio_ap answers to random scripts, into tests/data/oracle/vfio_ap.

    .venv/bin/python tests/oracle/record_vfio_ap.py KERNEL [SEED …]

KERNEL is an s390x kernel with KVM, VFIO and vfio_ap built in: kernel.config beside this file, merged into a
tinyconfig, makes one of Debian's linux-source-7.2. Each seed is a boot and a file of its own. QEMU has no SIE: no VM
can open a mediated device, and what needs one is not recorded.
"""

from __future__ import annotations

import gzip
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from apmatrix.cards import RealClock
from apmatrix.faces.boot import BootedGuest, Hardware, LevelProcessor, Software
from support.busops import Changes
from support.recorded import DESCRIPTION, recorded_machine
from support.vfio_ap_scripts import scenarios

PATIENCE: Final = 60.0
END: Final = "# end of answer"


def main(kernel: str, seeds: list[int]) -> None:
    directory = DESCRIPTION.parent / "vfio_ap"
    directory.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        program = build(Path(scratch))
        for seed in seeds:
            release, lines = record(kernel, program, seed)
            text = "".join(f"{line}\n" for line in lines)
            (directory / f"linux-{release}-{seed}.txt.gz").write_bytes(gzip.compress(text.encode("latin-1"), mtime=0))


def build(directory: Path) -> bytes:
    """sysops for s390x."""
    program = directory / "sysops"
    command = ["s390x-linux-gnu-gcc", "-D_GNU_SOURCE", "-O2", "-w", "-static", "-o"]
    subprocess.run([*command, str(program), str(DESCRIPTION.parent / "sysops.c")], check=True)
    return program.read_bytes()


def record(kernel: str, program: bytes, seed: int) -> tuple[str, list[str]]:
    """The kernel's release and the transcript of one boot."""
    machine, level = recorded_machine(RealClock())
    processor = LevelProcessor(machine, level)
    software = Software(kernel, command="sysops < /dev/ttysclp0", extra={"usr/bin/sysops": program})
    image, initrd = software.prepare(lambda _: None)
    changes = Changes(machine)
    transcript: list[str] = []
    with BootedGuest(Hardware(image, initrd, processor.facilities), processor) as guest:
        release = guest.wait_until_ready()
        conversation = Conversation(guest)
        for line in scenarios(seed):
            if line.startswith("M "):
                changes.make(*line[2:].split())
            transcript += conversation.ask(line)
        conversation.end()
    machine.close()
    return release, transcript


class Conversation:
    """Lines typed at the guest's console, and what comes back."""

    def __init__(self, guest: BootedGuest) -> None:
        self._guest = guest
        self._rest = ""
        self._lines: queue.Queue[str] = queue.Queue()
        self._listener = threading.Thread(target=guest.run_command, args=(self._receive,), daemon=True)
        self._listener.start()
        time.sleep(1)  # the program has to start before it can be asked

    def _receive(self, text: bytes) -> None:
        *lines, self._rest = (self._rest + text.decode("latin-1").replace("\r", "")).split("\n")
        for line in lines:
            self._lines.put(line)

    def ask(self, line: str) -> list[str]:
        """The line and its answer."""
        self._guest.console.type(f"{line}\n{END}\n")
        answer: list[str] = []
        while (got := self._lines.get(timeout=PATIENCE)) != END:
            answer.append(got)
        return answer

    def end(self) -> None:
        """Type an end of file, which ends the program, and wait for it."""
        self._guest.console.type("\x04")
        self._listener.join(PATIENCE)


if __name__ == "__main__":
    main(sys.argv[1], [int(seed) for seed in sys.argv[2:]] or [1])
