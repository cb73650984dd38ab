"""The examples in the documents: fenced blocks of commands with their output, and files.

The words behind ``console`` say what a block needs to run: nothing, ``mounted`` (a mounted /sys, so /dev/fuse and
namespaces), ``boot`` (QEMU and Debian's s390x packages), ``make``. Blocks of one document with the same last word,
such as ``mounted keys``, are one story: they run one after the other in the same place.

The words behind ``python`` are the same; those of one story run one after the other with the same variables. What a
block prints is in the block without a kind right behind it. ``python pytest NAME.py`` is a file with tests.

Blocks ``recipe NAME PATH`` are changes of the source that belong together: ``python`` and ``json`` are new files,
``diff`` the changed lines of a file with some around them; ``@@`` parts places.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
DOCUMENTS = [*(ROOT / page for page in PAGES), *sorted((ROOT / "docs").glob("*.md"))]
NEEDS = ("", "mounted", "boot", "make")
"""What a block of commands may need."""

_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```\n(?:\n```\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its document's path and line, the words behind its kind, its lines, and those of its output."""

    document: Path
    line: int
    words: tuple[str, ...]
    content: str
    output: str

    @property
    def need(self) -> str:
        """What it needs to run."""
        return self.words[0] if self.words else ""

    @property
    def name(self) -> str:
        """For the name of its test."""
        return f"{self.document.name}:{self.line}"

    def sessions(self) -> Iterator[tuple[str, str]]:
        """The commands with the output that follows each."""
        for part in re.split(r"^\$ ", self.content, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def blocks(kind: str) -> Iterator[Block]:
    """All blocks of a kind."""
    for path in DOCUMENTS:
        text = path.read_text()
        for found in _BLOCK.finditer(text):
            if found[1] == kind:
                line = text.count("\n", 0, found.start()) + 1
                yield Block(path, line, tuple(found[2].split()), found[3], found[4] or "")


def programs(*, mounted: bool) -> list[list[Block]]:
    """The Python programs, each as the blocks of its story: those that need a mounted /sys, or the others."""
    told: dict[Hashable, list[Block]] = {}
    for block in blocks("python"):
        words = [word for word in block.words if word != "mounted"]
        if block.need not in ("pytest", "recipe") and (block.need == "mounted") is mounted:
            told.setdefault((block.document, words[0] if words else block.name), []).append(block)
    return list(told.values())


def recipes() -> dict[str, list[tuple[str, Block]]]:
    """The changes of each recipe, by its name."""
    told: dict[str, list[tuple[str, Block]]] = {}
    for kind in ("diff", "json", "python"):
        for block in blocks(kind):
            if block.need == "recipe":
                told.setdefault(block.words[1], []).append((kind, block))
    return told


def apply(kind: str, block: Block, tree: Path) -> Path:
    """Make a recipe's change below ``tree``; the path of the file."""
    path = tree / block.words[2]
    if kind != "diff":
        assert not path.exists(), f"{block.name}: {block.words[2]} already exists"
        path.write_text(block.content)
        return path
    text = path.read_text()
    for place in block.content.split("@@\n"):
        lines = place.splitlines()
        before, after = ("\n".join(line[1:] for line in lines if line[:1] in (" ", "", sign)) for sign in "-+")
        assert text.count(before) == 1, f"{block.name}: {block.words[2]} has not, or more than once:\n{before}"
        text = text.replace(before, after)
    path.write_text(text)
    return path


def documented_tests() -> list[Block]:
    """The files with tests, each as its block."""
    return [block for block in blocks("python") if block.need == "pytest"]


def run_program(story: Iterable[Block]) -> None:
    """Run the blocks of a program one after the other; each must print what the document shows."""
    variables: dict[str, Any] = {"__name__": "__main__"}
    for block in story:
        printed = io.StringIO()
        # Line numbers of errors are those in the document.
        code = compile("\n" * block.line + block.content, str(block.document), "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, variables)
        assert matches(block.output, printed.getvalue()), f"{block.name} printed:\n{printed.getvalue()}"


def stories(need: str) -> list[list[Block]]:
    """The blocks of commands that need the same, those of one story together."""
    told: dict[Hashable, list[Block]] = {}
    for block in blocks("console"):
        if block.need == need:
            story = block.words[1] if len(block.words) > 1 else block.name
            told.setdefault((block.document, story), []).append(block)
    return list(told.values())


def typed(output: str) -> tuple[str, str]:
    """What is typed at the shell that a command opens, and what the document shows without it."""
    lines = output.splitlines(keepends=True)
    return "".join(line[2:] for line in lines if line.startswith("# ")), "".join(
        line for line in lines if not line.startswith("# ")
    )


def run(
    command: str,
    directory: Path = ROOT,
    typing: str = "",
    errors: int | IO[str] = subprocess.STDOUT,
    **variables: str,
) -> str:
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


def matches(expected: str, output: str) -> bool:
    """A line of three dots in ``expected`` stands for any lines, three dots within a line for any text."""
    pattern = re.escape("".join(f"{line.rstrip()}\n" for line in expected.splitlines()))
    pattern = pattern.replace(r"\.\.\." + "\\\n", r"(?:.*\n)*").replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, output) is not None
