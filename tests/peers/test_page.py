"""docs/peers.md has a section for each suite, and a row for each run that the tests make."""

import re
from pathlib import Path

import pytest

from apmatrix.faces.boot.errors import PackageError
from support import peers
from support.cross import Outcome, outcomes
from support.peers import PAGE, SUITES, VARIABLE, Counted, checkout, copy, counts

MODULES = {path.stem.removeprefix("test_"): path.read_text() for path in Path(__file__).parent.glob("test_*.py")}
SUITE_OF = {suite.replace("-", "_"): suite for suite in SUITES}


def test_every_suite_has_its_tests_and_its_section():
    assert MODULES.keys() - {"page"} == SUITE_OF.keys()
    assert set(re.findall(r"^## `(.+)`$", PAGE.read_text(), re.MULTILINE)) == set(SUITES)


@pytest.mark.parametrize("name", SUITE_OF)
def test_rows_and_tests_name_the_same_runs(name):
    suite = SUITE_OF[name]
    run = set(re.findall(rf'"({re.escape(suite)}/[\w-]+)"', MODULES[name]))
    assert run
    assert {row for row in counts() if row.startswith(f"{suite}/")} == run


def test_every_test_is_marked():
    for name in SUITE_OF:
        assert re.search(r"^pytestmark = .*pytest\.mark\.peers", MODULES[name], re.MULTILINE), name


def test_rows():
    assert counts("| `a-b/c` | 3 | 0 | 12 | because |\n| run | passes |\n") == {"a-b/c": Counted(3, 0, 12)}


def test_a_checkout_comes_first(tmp_path, monkeypatch):
    (tmp_path / "kvm-unit-tests" / ".git").mkdir(parents=True)
    (tmp_path / "kvm-unit-tests" / "configure").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert checkout("kvm-unit-tests") == tmp_path / "kvm-unit-tests"
    copied = copy("kvm-unit-tests", tmp_path / "build")
    assert [path.name for path in copied.iterdir()] == ["configure"]


def test_the_reason_of_a_skip_says_what_was_tried(tmp_path, monkeypatch):
    def source(package):
        raise PackageError(f"Debian trixie: {package}: 404 Not Found")

    monkeypatch.setattr(peers, "source", source)
    monkeypatch.setitem(SUITES, "packaged", "package")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match=r"packaged is not a directory; Debian trixie: package: 404"):
        checkout("packaged")
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(pytest.skip.Exception, match=f"{VARIABLE} names no directory .*; Debian has no package of it"):
        checkout("kvm-unit-tests")


def test_what_tests_gave_in_the_guest():
    output = "booted\r\n\r\n== a 0\r\n\r\n== b-1.sh 77\r\n  no card\r\n\r\n== end 0\r\n"
    assert outcomes(output) == {"a": Outcome(0, ""), "b-1.sh": Outcome(77, "  no card")}
    with pytest.raises(AssertionError, match="no card"):
        outcomes(output.partition("== end")[0])
