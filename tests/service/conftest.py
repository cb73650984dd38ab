"""A machine in the background, in processes of its own."""

import pytest

from support.background import Site, machine_process


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    if machine_process(made.state):
        made.run("down", "keys")
