"""Settings of all tests, and machine M of hardware.md 8.1, which several rooms use."""

import pytest
from hypothesis import settings

from support.bench import Bench
from support.untried import LONG, PEERS, untried
from support.zcrypt import Crypto

pytest_plugins = ["pytester"]

# No test judges time: a slow machine must not make a test fail. And each run tries the same examples, so that it says
# something about the change at hand; others are tried with --hypothesis-profile=explore.
settings.register_profile("apmatrix", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("apmatrix")


def pytest_addoption(parser):
    parser.addoption(
        "--long", action="store_true", help="run the tests marked long too, which take over half a minute"
    )
    parser.addoption("--peers", action="store_true", help="run the tests of other projects too: make peers")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes over half a minute, and is skipped without --long")
    config.addinivalue_line("markers", "peers: runs another project's tests, and is skipped without --peers")


def pytest_collection_modifyitems(config, items):
    for marker, reason in (("long", LONG), ("peers", PEERS)):
        if not config.getoption(f"--{marker}"):
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter):
    """Say which real tools and kernels were not tried here, and why."""
    if lines := untried(terminalreporter.stats.get("skipped", ())):
        terminalreporter.section("not tried")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture(autouse=True)
def _no_width(monkeypatch):
    """No test depends on a width that the environment has; readline and pytest-xdist set one."""
    monkeypatch.setenv("COLUMNS", "80")  # readline's is not in os.environ, and would stay
    monkeypatch.delenv("COLUMNS")


@pytest.fixture
def bench():
    """Machine M, and a program on its LPAR."""
    made = Bench()
    yield made
    made.close()


@pytest.fixture
def crypto():
    """Machine M with its Linux."""
    made = Crypto()
    yield made
    made.close()
