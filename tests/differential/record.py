"""Record what a real kernel does in the trials, into tests/data/differential.

    .venv/bin/python tests/differential/record.py [--again] [LINE …]

Boots the kernel of Debian's suite sid on the emulated machine and goes through the cases that are given by their
lines; without lines, through those that are not recorded. The recording's other cases stay. With --again what is seen
is added to what was seen before, if it is different: a request that a scan wakes may come first or last.
It takes some seconds a case. A case in which the kernel stops answering is skipped, with a message.
"""

import queue
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.differential.booted import BootedSubject, build_agent
from support.differential.cases import cases
from support.differential.recording import RELEASE, read_recording, write_recording
from support.differential.trial import Case, Trial, boot


def main(arguments: list[str]) -> None:
    again = "--again" in arguments
    known = cases()
    recorded = {line: seen for line, seen in read_recording().items() if line in known or line == "boot"}
    wanted = [line for line in arguments if line in known] or [line for line in known if line not in recorded]
    if not again:
        recorded = {line: seen for line, seen in recorded.items() if line not in wanted}
    with tempfile.TemporaryDirectory() as directory:
        agent = build_agent(Path(directory))
        while wanted:
            wanted = record(agent, wanted, recorded)


def record(agent: bytes, wanted: list[str], recorded: dict[str, list[list[str]]]) -> list[str]:
    """Record in one boot; returns the cases that remain after one in which the kernel stopped answering."""
    with BootedSubject("sid", agent) as subject:
        assert subject.release.startswith(RELEASE), f"Debian sid has Linux {subject.release} now"
        recorded["boot"] = [boot(subject)[1:]]
        for number, line in enumerate(wanted, 1):
            try:
                seen = Trial(subject, Case.parse(line)).run()[1:]
            except queue.Empty:
                print(f"the kernel stopped answering: {line}", flush=True)
                return wanted[number:]
            times = recorded.setdefault(line, [])
            if seen not in times:
                times.append(seen)
            print(f"{len(wanted) - number} {line}", flush=True)
            order = ("boot", *cases())
            write_recording({line: recorded[line] for line in order if line in recorded})
    return []


if __name__ == "__main__":
    main(sys.argv[1:])
