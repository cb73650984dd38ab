"""What the suites that run in a booted guest share."""

import pytest

from support.cross import Cross
from support.guests import Session


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A machine with a CCA coprocessor and an accelerator."""
    made = Session(tmp_path_factory.mktemp("machine"))
    yield made
    made.machine.close()


@pytest.fixture(scope="session")
def make_cross(tmp_path_factory):
    """Makes a cross compiler that has the libraries of more packages."""
    return lambda *more: Cross(tmp_path_factory.mktemp("cross"), *more)


@pytest.fixture(scope="session")
def cross(make_cross):
    return make_cross()
