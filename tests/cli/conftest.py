"""A machine that the commands reach, in the test's own process."""

import pytest

from support.running import running


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Its Emulation; the commands run in a directory of their own."""
    monkeypatch.setenv("APMATRIX_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("APMATRIX_MACHINE", raising=False)
    monkeypatch.chdir(tmp_path)
    with running() as emulation:
        yield emulation
