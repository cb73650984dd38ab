"""What the documents show is what the program does, and all of it is documented."""

import re
import tomllib

import click
import msgspec
import pytest

from apmatrix.cli.main import COMMANDS, main
from apmatrix.config import parse, schema
from support.documents import DOCUMENTS, NEEDS, ROOT, blocks, matches, run, stories


@pytest.mark.parametrize("block", [pytest.param(block, id=block.name) for block in blocks("console")])
def test_commands_print_what_the_documents_show(block):
    """Those that need more than this package run in tests/clients."""
    assert block.need in NEEDS
    for command, expected in block.sessions() if not block.need else ():
        output = run(command)
        assert matches(expected, output), f"{command} printed:\n{output}"


@pytest.mark.parametrize(
    "block", [pytest.param(block, id=block.name) for story in stories("make") for block in story]
)
def test_make_has_the_targets_that_the_documents_name(block):
    for command, _ in block.sessions():
        (target,) = re.findall(r"^make (\w+)", command)
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("block", [pytest.param(block, id=block.name) for block in blocks("toml")])
def test_files_in_the_documents_can_be_read(block):
    """A block that begins inside an LPAR is a part of a file."""
    above = '[[lpar]]\nname = "kvm1"\n' if block.content.startswith("[lpar.") else ""
    assert block.words or parse(above + block.content, "document.toml").lpars


def test_the_documents_have_commands():
    assert len([command for block in blocks("console") for command, _ in block.sessions()]) >= 40


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
        ("`[[master_key]]`", schema.MasterKeyFile),
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
