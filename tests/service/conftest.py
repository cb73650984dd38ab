"""A machine in the background, in processes of its own."""

import pytest

from support.background import Site, holders


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    if holders(made.state / "lock") if (made.state / "lock").exists() else ():
        made.run("down", "keys")
