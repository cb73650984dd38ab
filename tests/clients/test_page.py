"""docs/clients.md says what the tests do, and which versions they were run with."""

import re
import subprocess

import pytest

from apmatrix.arch import ApmatrixError
from apmatrix.faces.boot import Repository

from . import programs
from .conftest import ROOT

PAGE = (ROOT / "docs/clients.md").read_text()
ROWS = re.findall(r"^\| \[.+\]\(#(\S+)\) \| (\S+) \| (\S+) \| ", PAGE, re.MULTILINE)
MODULES = {path.name: path for path in (ROOT / "tests/clients").glob("test_*.py") if path.name != "test_page.py"}


def test_every_module_of_tests_is_named():
    assert set(re.findall(r"`tests/clients/(test_\w+\.py)`", PAGE)) == set(MODULES)


def test_every_test_is_named_and_every_named_test_exists():
    existing = {
        name for path in MODULES.values() for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert set(re.findall(r"`(test_\w+)`", PAGE)) == existing


def test_every_row_has_its_section():
    assert ROWS
    for anchor, _, _ in ROWS:
        assert f"### {anchor}" in PAGE


@pytest.mark.parametrize(("package", "version"), [row[1:] for row in ROWS if ":" not in row[1]])
def test_the_version_is_the_one_that_the_tests_use(package, version):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{package} is not installed")
    assert re.match(rf"{re.escape(version)}\b", done.stdout)


def trixie(*packages, **architecture):
    """Packages that Debian 13 itself delivers; the tests use another suite's where it cannot."""
    try:
        return Repository("trixie", **architecture).fetch(packages)
    except ApmatrixError as error:
        pytest.skip(f"the version of Debian 13 is not the one that the tests use here: {error}")


def test_the_version_of_s390_tools_is_the_one_that_the_tests_use():
    version = next(row[2] for row in ROWS if row[1] == "s390-tools:s390x")
    (package,) = trixie("s390-tools")
    assert package.name.startswith(f"s390-tools_{version}-")


def test_the_version_of_the_newer_mdevctl_is_the_one_that_the_tests_use():
    version = next(row[2] for row in ROWS if row[1] == "mdevctl:trixie")
    (package,) = trixie("mdevctl", architecture=programs.architecture())
    assert package.name.startswith(f"mdevctl_{version}-")
