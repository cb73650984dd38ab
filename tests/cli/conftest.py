"""A machine that the commands reach, in the test's own process."""

import pytest

from support.running import await_boot, running


@pytest.fixture(autouse=True)
def _surroundings(tmp_path, monkeypatch):
    """No test meets the user's machines."""
    monkeypatch.setenv("APMATRIX_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("APMATRIX_MACHINE", raising=False)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Its Emulation; the commands run in a directory of their own."""
    monkeypatch.chdir(tmp_path)
    with running() as emulation:
        for system in emulation.systems():
            await_boot(system.linux)
        yield emulation
