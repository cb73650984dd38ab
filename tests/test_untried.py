"""The end of a run says what was not tried."""

from pathlib import Path

CONFTEST = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from support.untried import untried

def pytest_terminal_summary(terminalreporter):
    for line in untried(terminalreporter.stats.get("skipped", ())):
        terminalreporter.line(line)
"""

TESTS = """
import pytest

@pytest.mark.parametrize("number", range(3))
def test_tool(number):
    pytest.skip("lszcrypt is not available: 404")

@pytest.mark.skip(reason="takes over half a minute: pytest --long")
def test_long():
    pass

@pytest.mark.skipif(True, reason="no /dev/fuse")
def test_face():
    pass
"""


def check(result):
    result.stdout.fnmatch_lines(
        [
            "3 tests of test_tools.py: lszcrypt is not available: 404",
            "1 test of test_tools.py: no /dev/fuse",
            "1 test of test_tools.py: takes over half a minute: pytest --long",
        ],
        consecutive=True,
    )


def test_reasons_are_told_with_their_tests(pytester):
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_tools=TESTS)
    check(pytester.runpytest_subprocess("-p", "no:cacheprovider"))
    check(pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n", "2"))
