"""The tests in docs/testing.md pass, in a project that has their machines."""

import pytest

from support.documents import ROOT, documented_tests

ONE_CARD = """
[[adapter]]
id = 5
type = "CEX8C"
[[lpar]]
name = "kvm1"
adapters = "5"
usage_domains = "4"
"""
FILES = {block.words[1]: block.content for block in documented_tests()}


@pytest.fixture
def documented(project):
    (project.path / "apmatrix.toml").write_text((ROOT / "examples" / "three-guests.toml").read_text())
    (project.path / "machines").mkdir()
    (project.path / "machines" / "one-card.toml").write_text(ONE_CARD)
    for name, content in FILES.items():
        (project.path / name).write_text(content)
    return project


def test_tests_of_the_api_pass(documented):
    documented.runpytest_subprocess("test_queues.py").assert_outcomes(passed=5)


def test_there_are_no_others():
    assert sorted(FILES) == ["test_mdevctl.py", "test_queues.py"]
