"""The examples in the documents: fenced blocks of commands with their output, and files.

The words behind ``console`` say what a block needs to run: nothing, ``mounted`` (a mounted /sys, so /dev/fuse and
namespaces), ``boot`` (QEMU and Debian's s390x packages), ``make``. Blocks of one document with the same last word,
such as ``mounted keys``, are one story: they run one after the other in the same place.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
NEEDS = ("", "mounted", "boot", "make")
"""What a block of commands may need."""

_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its document's path and line, the words behind its kind, its lines."""

    document: Path
    line: int
    words: tuple[str, ...]
    content: str

    @property
    def need(self):
        """What it needs to run."""
        return self.words[0] if self.words else ""

    @property
    def name(self):
        """For the name of its test."""
        return f"{self.document.name}:{self.line}"

    def sessions(self):
        """The commands with the output that follows each."""
        for part in re.split(r"^\$ ", self.content, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def blocks(kind):
    """All blocks of a kind."""
    for path in DOCUMENTS:
        text = path.read_text()
        for found in _BLOCK.finditer(text):
            if found[1] == kind:
                yield Block(path, text.count("\n", 0, found.start()) + 1, tuple(found[2].split()), found[3])


def stories(need):
    """The blocks of commands that need the same, those of one story together."""
    told = {}
    for block in blocks("console"):
        if block.need == need:
            story = block.words[1] if len(block.words) > 1 else block.name
            told.setdefault((block.document, story), []).append(block)
    return list(told.values())


def typed(output):
    """What is typed at the shell that a command opens, and what the document shows without it."""
    lines = output.splitlines(keepends=True)
    return "".join(line[2:] for line in lines if line.startswith("# ")), "".join(
        line for line in lines if not line.startswith("# ")
    )


def run(command, directory=ROOT, typing="", errors=subprocess.STDOUT, **variables):
    """All that a command prints in a shell, in ``directory``; ``errors`` is where standard error goes."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "COLUMNS": "120", **variables}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=directory,
        env=environment,
        input=typing,
        text=True,
        stdout=subprocess.PIPE,
        stderr=errors,
        timeout=300,
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def matches(expected, output):
    """A line of three dots in ``expected`` stands for any lines, three dots within a line for any text."""
    pattern = re.escape("".join(f"{line.rstrip()}\n" for line in expected.splitlines()))
    pattern = pattern.replace(r"\.\.\." + "\\\n", r"(?:.*\n)*").replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, output) is not None
