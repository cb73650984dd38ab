"""Machines for the tests of the Python API; they run in virtual time."""

from pathlib import Path

import pytest

from apmatrix import AdapterConfig, GuestConfig, HostConfig, LparConfig, Machine

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def three():
    """The example with three guests."""
    with Machine.from_file(EXAMPLES / "three-guests.toml", virtual_time=True) as machine:
        yield machine


@pytest.fixture
def nested():
    """A guest of a guest, a guest that is not started, and queues of the host's own."""
    inner = GuestConfig("inner", adapters=5, domains=4)
    guests = [
        GuestConfig("outer", adapters=5, domains="4,5", host=HostConfig(aqmask="-4"), guests=[inner]),
        GuestConfig("late", adapters=5, domains=6, start=False),
    ]
    adapters = [AdapterConfig(5, "CEX8C"), AdapterConfig("6,7", "CEX8A"), AdapterConfig(8, "CEX8P")]
    lpar = LparConfig("kvm1", adapters="5-8", usage_domains="4-7", host=HostConfig(apmask="-5"), guests=guests)
    with Machine(adapters, [lpar], name="cpc1", virtual_time=True) as machine:
        yield machine
