"""What the tests with real kernels share: they need QEMU, Debian packages, and some a cross compiler."""

import subprocess
from pathlib import Path

import pytest

from support.guests import Session, vectors

from ..conftest import ROOT, need

HEADERS = Path("/usr/s390x-linux-gnu/include/stdio.h")


@pytest.fixture(autouse=True)
def _mountable():
    """Nothing is mounted here; but QEMU is needed."""
    need("qemu-system-misc", "qemu-system-s390x")


@pytest.fixture
def session(tmp_path):
    made = Session(tmp_path)
    yield made
    made.machine.close()


@pytest.fixture(scope="session")
def ica(tmp_path_factory):
    """The test program and its requests, as files of the guest."""
    need("gcc-s390x-linux-gnu", "s390x-linux-gnu-gcc")
    need("libc6-dev-s390x-cross", *(() if HEADERS.exists() else ("no program of it",)))
    program = tmp_path_factory.mktemp("ica") / "ica"
    command = ["s390x-linux-gnu-gcc", "-O2", "-Wall", "-Werror", "-static", "-o", program, ROOT / "tests/data/ica.c"]
    subprocess.run(command, check=True)
    return {"usr/bin/ica": program.read_bytes(), "vectors": vectors()}


@pytest.fixture
def machine_file(tmp_path):
    """A machine with one host, whose guest has a queue of its own."""
    file = tmp_path / "machine.toml"
    file.write_text(
        '[[adapter]]\nid = 5\ntype = "CEX8C"\n[[lpar]]\nname = "kvm1"\nadapters = "5"\nusage_domains = "4,6,7"\n'
        '[lpar.host]\napmask = "-5"\naqmask = "-6,-7"\n'
        '[[lpar.guest]]\nname = "guest1"\nuuid = "62177883-f1bb-47f0-914d-32a22e3a8804"\nadapters = "5"\n'
        'domains = "6"\nstart = true\n'
    )
    return file
