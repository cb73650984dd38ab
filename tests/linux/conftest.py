"""H0 of host.md section 8."""

import pytest

from support.host import Host


@pytest.fixture
def host():
    made = Host()
    yield made
    made.close()
