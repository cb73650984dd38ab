"""What the documents show is what the program does, and all of it is documented."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import msgspec
import pytest

from apmatrix.cli.main import COMMANDS, main
from apmatrix.config import parse, schema

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(kind):
    """All fenced blocks of a kind: document and line, the words behind the kind, content."""
    for path in DOCUMENTS:
        text = path.read_text()
        for found in BLOCK.finditer(text):
            if found[1] == kind:
                line = text.count("\n", 0, found.start()) + 1
                yield pytest.param(found[2].strip(), found[3], id=f"{path.name}:{line}")


def sessions(content):
    """The commands of a block with the output that follows each."""
    for part in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def run(command):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "120"}
    done = subprocess.run(
        command, shell=True, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def runs_here(mark, command):
    """False for what takes long or needs more than this package: namespaces, FUSE, QEMU, a running machine."""
    commands = re.findall(r"\bapmatrix (\w+)", command)
    return mark != "not-run" and commands != [] and all(name in ("show", "explain", "demo") for name in commands)


def matches(expected, output):
    """A line of three dots in ``expected`` stands for any lines, three dots within a line for any text."""
    pattern = re.escape("".join(f"{line.rstrip()}\n" for line in expected.splitlines()))
    pattern = pattern.replace(r"\.\.\." + "\\\n", r"(?:.*\n)*").replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, output) is not None


@pytest.mark.parametrize(("mark", "content"), list(blocks("console")))
def test_commands_print_what_the_documents_show(mark, content):
    for command, expected in sessions(content):
        for target in re.findall(r"^make (\w+)", command):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        if runs_here(mark, command):
            output = run(command)
            assert matches(expected, output), f"{command} printed:\n{output}"


@pytest.mark.parametrize(("mark", "content"), list(blocks("toml")))
def test_files_in_the_documents_can_be_read(mark, content):
    """A block that begins inside an LPAR is a part of a file."""
    above = '[[lpar]]\nname = "kvm1"\n' if content.startswith("[lpar.") else ""
    assert mark or parse(above + content, "document.toml").lpars


def test_the_documents_have_commands():
    run = [
        command for block in blocks("console") for command, _ in sessions(block.values[1]) if runs_here("", command)
    ]
    assert len(run) >= 8


def section(text, title):
    """What a document says below a heading that begins with ``title``."""
    found = re.search(rf"^## {re.escape(title)}[^\n]*\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_documented_with_its_options(name):
    text = section((ROOT / "docs/cli.md").read_text(), f"apmatrix {name}")
    assert text, f"docs/cli.md has no section '## apmatrix {name}'"
    for words, command in with_subcommands(f"apmatrix {name}", main.get_command(click.Context(main), name)):
        assert words in text, f"docs/cli.md lacks {words}"
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                option = max(parameter.opts, key=len)
                assert f"`{option}`" in text, f"docs/cli.md: {words} lacks {option}"


def with_subcommands(words, command):
    yield words, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from with_subcommands(f"{words} {name}", below)


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("`[machine]`", schema.MachineSettings),
        ("`[[adapter]]`", schema.AdapterFile),
        ("`[[lpar]]`", schema.LparFile),
        ("`[lpar.host]`", schema.HostSettings),
        ("`[[lpar.guest]]`", schema.GuestFile),
    ],
)
def test_every_key_of_the_file_is_documented_with_its_default(title, kind):
    rows = dict(
        re.findall(r"^\| `(\w+)` \| (.*) \|$", section((ROOT / "docs/file.md").read_text(), title), re.MULTILINE)
    )
    defaults = {info.encode_name: info.default for info in msgspec.structs.fields(kind)}
    assert rows.keys() == defaults.keys()
    for name, default in defaults.items():
        if isinstance(default, bool | int | str):
            shown = re.search(r"\| `([^`]*)`[^|]*$", rows[name])
            assert shown, name
            assert tomllib.loads(f"x = {shown[1]}")["x"] == default


def test_links_between_documents_lead_somewhere():
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"
