"""The package as it is installed, in an empty directory: it shows itself, and its help names no absent file."""

import re
import subprocess
import sys
import sysconfig
import venv

import pytest

from apmatrix.cli.main import COMMANDS
from apmatrix.config.examples import examples
from apmatrix.rules.reference import DOCUMENTS
from support.documents import ROOT
from support.running import command
from support.wheel import build


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A fresh virtual environment with the wheel, which finds its libraries in this one; and an empty directory."""
    place = tmp_path_factory.mktemp("installed")
    wheel = build(tmp_path_factory.mktemp("wheel"))
    venv.create(place / "venv")
    python = place / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    (site,) = (place / "venv/lib").glob("*/site-packages")
    (site / "libraries.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n")
    (place / "empty").mkdir()
    return place


def run(place, *words, code=0):
    command = [place / "venv/bin" / words[0], *words[1:]]
    done = subprocess.run(command, cwd=place / "empty", capture_output=True, text=True, timeout=100)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_it_is_the_wheel(place):
    found = run(place, "python", "-c", "import apmatrix; print(apmatrix.__file__)")
    assert found.startswith(str(place / "venv"))


@pytest.mark.parametrize(
    "words", [["apmatrix"], ["python", "-m", "apmatrix"], ["python", "-m", "apmatrix.cli.main"]], ids=" ".join
)
def test_it_can_be_called_in_three_ways(place, words):
    assert run(place, *words, "--version").startswith("apmatrix ")
    assert run(place, *words, "show", "--help").startswith("Usage: apmatrix show ")


def test_the_demonstration_needs_no_file(place):
    output = run(place, "apmatrix", "demo")
    assert output.startswith("Machine three-guests: adapters 5 CEX5C, 6 CEX5A\n")
    assert "39 checks, 0 failed" in output


def test_its_examples_can_be_used(place):
    for name in examples():
        text = run(place, "apmatrix", "example", name)
        assert text == (ROOT / "examples" / f"{name}.toml").read_text()
        (place / f"{name}.toml").write_text(text)
        run(place, "apmatrix", "show", str(place / f"{name}.toml"), code=int(name.startswith("invalid")))
    assert "BUS-20" in run(place, "apmatrix", "rule", "BUS-20")


def test_examples_are_listed_and_found():
    assert "nested                 Three levels: the LPAR, its guest" in command("example").stdout
    assert command("example", "nested.toml").stdout == command("example", "nested").stdout
    assert "choose one of invalid-shared-queue, large" in command("example", "nestd", code=2).stderr


def every_help(words=(), commands=COMMANDS):
    output = command(*words, "--help").stdout
    yield output
    for name in commands:
        below = re.search(r"^Commands:\n((?:  .*\n)+)", command(*words, name, "--help").stdout, re.MULTILINE)
        yield from every_help((*words, name), re.findall(r"^  (\w+)", below[1], re.MULTILINE) if below else ())


def test_help_names_no_file_that_is_not_made_before():
    for output in every_help():
        assert set(re.findall(r"\S*(?:docs|examples)/\S*|\S+\.md\b", output)) <= set(DOCUMENTS)
        for number, name in enumerate(re.findall(r"[\w/.-]+\.toml", output)):
            assert number or f"> {name}" in output
