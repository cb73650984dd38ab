"""The examples in the documents that need a mounted /sys or QEMU: they print what the documents show."""

import json
import subprocess
import tomllib

import pytest

from support.documents import ROOT, blocks, matches, run, stories, typed

from .conftest import need


def told(need):
    return [pytest.param(story, id=story[0].name) for story in stories(need)]


class Terminal:
    """A directory with the examples and the files of a document, and a state directory for its machines."""

    def __init__(self, directory, document):
        self.directory = directory
        (directory / "examples").symlink_to(ROOT / "examples")
        for block in blocks("toml"):
            if (
                block.document == document
                and not block.words
                and (name := tomllib.loads(block.content).get("machine"))
            ):
                (directory / f"{name['name']}.toml").write_text(block.content)

    def run(self, command, typing=""):
        """What a command prints; without the progress of boot, which a terminal shows for a moment only."""
        errors = subprocess.DEVNULL if command.startswith("apmatrix boot") else subprocess.STDOUT
        state = str(self.directory / "state")
        return run(command, self.directory, typing, errors, APMATRIX_STATE=state, SHELL="/bin/bash")

    def clean(self):
        for machine in json.loads(self.run("apmatrix status --json"))["machines"]:
            self.run(f"apmatrix down {machine['machine']}")


def follow(story, directory):
    """Do what a story says, and compare."""
    terminal = Terminal(directory, story[0].document)
    try:
        for block in story:
            for command, shown in block.sessions():
                typing, expected = typed(shown)
                output = terminal.run(command, typing)
                assert matches(expected, output), f"{block.name}: {command} printed:\n{output}"
    finally:
        terminal.clean()


@pytest.mark.parametrize("story", told("mounted"))
def test_commands_with_a_mounted_sysfs(story, tmp_path):
    follow(story, tmp_path)


@pytest.mark.usefixtures("debian")
@pytest.mark.parametrize("story", told("boot"))
def test_commands_that_boot_a_kernel(story, tmp_path):
    need("qemu-system-misc", "qemu-system-s390x")
    follow(story, tmp_path)


def test_the_demonstration():
    """Of what the documents make, the one that shows something; tests/cli/test_docs.py knows that all can be made."""
    commands = [command for story in stories("make") for block in story for command, _ in block.sessions()]
    assert "make demo" in commands
    if not (ROOT / ".venv/.installed").exists():
        pytest.skip("the environment was not made by make venv, and make would begin with that")
    assert "0 failed" in run("make demo", ROOT)
