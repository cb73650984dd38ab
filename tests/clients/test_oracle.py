"""The operations that were recorded on a real kernel, through the mounted /sys: the same answers, byte for byte."""

import gzip
import subprocess
from pathlib import Path

import pytest

from .conftest import APMATRIX, ROOT, ClientHost, need

DATA = ROOT / "tests/data/oracle"
RECORDINGS = sorted(DATA.glob("*.txt.gz"))


@pytest.fixture(scope="module")
def sysops(tmp_path_factory):
    need("gcc", "gcc")
    program = tmp_path_factory.mktemp("oracle") / "sysops"
    subprocess.run(["gcc", "-w", "-O", "-o", program, DATA / "sysops.c"], check=True)
    return program


@pytest.mark.parametrize("recording", RECORDINGS, ids=[path.name.removesuffix(".txt.gz") for path in RECORDINGS])
def test_recorded_operations(recording, sysops, tmp_path):
    """A script is a transcript without the answers."""
    expected = gzip.decompress(recording.read_bytes()).decode()
    script = tmp_path / "script"
    script.write_text("".join(line for line in expected.splitlines(keepends=True) if line[:1] not in "= "))
    host = ClientHost(tmp_path, DATA / "machine.toml")
    out = host.sh(f"SYSOPS_GUEST='{APMATRIX} guest' {sysops} {script}")
    wrong = [
        (number, a, b)
        for number, (a, b) in enumerate(zip(expected.splitlines(), out.splitlines(), strict=False), 1)
        if a != b
    ]
    assert not wrong, wrong[0]
    assert out == expected


assert RECORDINGS, f"{Path(DATA)} has no recordings"
