"""Hosts in the states of host.md section 8."""

import pytest

from support.host import Documented, Host, h1, hd


@pytest.fixture
def h0_host():
    host = Host()
    yield host
    host.close()


@pytest.fixture
def h1_host():
    host = h1()
    yield host
    host.close()


@pytest.fixture
def hd_host():
    host = hd()
    yield host
    host.close()


@pytest.fixture
def hx():
    documented = Documented()
    yield documented
    documented.host.close()


@pytest.fixture
def mdev(h1_host):
    """M: a fresh mdev on H1."""
    return h1_host.create()


@pytest.fixture
def make_host():
    """Makes hosts that are closed at the end."""
    made = []

    def make(kind=Host, **options):
        made.append(kind(**options))
        return made[-1]

    yield make
    for host in made:
        host.close()
