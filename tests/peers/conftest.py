"""What the suites that run in a booted guest share."""

import pytest

from support.cross import Cross
from support.guests import Session
from support.peers import copy, need


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


@pytest.fixture(scope="session")
def libica(cross, tmp_path_factory):
    """libica with its tests, built."""
    need("autoreconf", "libtoolize")
    tree = copy("libica", tmp_path_factory.mktemp("libica"))
    configure = './configure --host=s390x-linux-gnu CC="$CC"'
    cross.build(tree, "./bootstrap.sh", configure, "make -j2", "make -j2 check TESTS=")
    return tree
