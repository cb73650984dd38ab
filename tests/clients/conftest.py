"""How client programs are run on an emulated machine, and what they need."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from apmatrix.arch import ApmatrixError
from apmatrix.faces.boot.initramfs import TOOL_PACKAGES
from apmatrix.faces.boot.packages import Repository
from support.debian import SUITES

ROOT = Path(__file__).parents[2]
APMATRIX = str(Path(sys.executable).with_name("apmatrix"))
THREE = ROOT / "examples/three-guests.toml"
HOST = ROOT / "tests/data/clients/host.toml"
U1 = "62177883-f1bb-47f0-914d-32a22e3a8804"
U2 = "94c662cd-0000-4000-8000-31dbd8dcb35f"


@functools.cache
def missing():
    """Why no program can run on an emulated machine here; empty if it can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened"
    done = subprocess.run(["unshare", "-mn", "true"], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"no namespaces: {done.stderr.strip()}"


def installed(package, *programs):
    """Install a Debian package unless its programs are there; why it is not available, or nothing."""
    places = f"{os.environ['PATH']}:/usr/sbin:/sbin:/lib/systemd"
    return "" if all(shutil.which(program, path=places) for program in programs) else install(package)


@functools.cache
def install(package):
    """Install a Debian package; why that cannot be done, or nothing."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return f"{package} is not installed, and only root on Debian could install it"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-qy", "--no-install-recommends", package]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        subprocess.run(["apt-get", "update", "-q"], env=environment, capture_output=True)
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return f"{package} cannot be installed: {done.stderr.strip()[-200:]}" if done.returncode else ""


def need(package, *programs):
    """Skip the test unless programs of a package are there."""
    if reason := installed(package, *programs):
        pytest.skip(reason)


@functools.cache
def no_packages():
    """Why Debian's packages for s390x are not available; empty if they are."""
    try:
        Repository().fetch(TOOL_PACKAGES)
    except ApmatrixError as error:
        return f"packages for s390x are not available: {error}"
    return ""


@pytest.fixture
def debian():
    """Skip the test unless the packages that ``apmatrix boot`` fetches are available."""
    if reason := no_packages():
        pytest.skip(reason)


@pytest.fixture(autouse=True)
def _mountable():
    if reason := missing():
        pytest.skip(reason)


class ClientHost:
    """Runs commands on an emulated machine, each one in a session of its own unless ``up`` was called."""

    def __init__(self, state, file=HOST):
        self.file = file
        self.environment = os.environ | {
            "APMATRIX_STATE": str(state),
            "PATH": f"{Path(APMATRIX).parent}:{os.environ['PATH']}:/usr/sbin:/sbin",
        }
        self.machine = None

    def up(self):
        """Start the machine in the background."""
        done = self.apmatrix("up", str(self.file))
        assert done.returncode == 0, done.stderr
        self.machine = self.file.stem

    def down(self):
        """Stop it."""
        if self.machine:
            done = self.apmatrix("down", self.machine)
            assert done.returncode == 0, done.stderr
            self.machine = None

    def apmatrix(self, *words):
        """Run the apmatrix command."""
        return subprocess.run([APMATRIX, *words], capture_output=True, text=True, env=self.environment, timeout=300)

    def reboot(self):
        """Stop the machine and start it again; what its systems keep is in the state directory."""
        self.down()
        self.up()

    def run(self, script, *options):
        """A shell script on the machine: the finished process."""
        where = ["--machine", self.machine] if self.machine else [str(self.file)]
        return self.apmatrix("run", *options, *where, "--", "bash", "-c", script)

    def sh(self, script, *options):
        """What a script prints that must succeed."""
        done = self.run(script, *options)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def host(tmp_path):
    host = ClientHost(tmp_path / "state")
    yield host
    host.down()


S390X_PACKAGES = (
    *("s390-tools", "libc6", "libgcc-s1", "libudev1", "libcap2", "zlib1g", "libssl3t64", "libzstd1", "libjson-c5"),
    *("libncurses6", "libtinfo6", "libfuse3-4", "libglib2.0-0t64", "libpcre2-8-0", "libatomic1"),
)
S390X_PROGRAMS = ("lszcrypt", "chzcrypt", "lszdev", "chzdev", "ap-check")


@pytest.fixture(scope="session")
def s390x(tmp_path_factory):
    """A directory with commands that run s390-tools for s390x under qemu-user."""
    need("qemu-user-static", "qemu-s390x-static")
    root = tmp_path_factory.mktemp("s390x")
    try:
        repository = Repository(*SUITES)
        trees = [repository.tree(package) for package in repository.fetch(S390X_PACKAGES)]
    except ApmatrixError as error:
        pytest.skip(f"s390-tools for s390x is not available: {error}")
    for tree in trees:
        shutil.copytree(tree, root, symlinks=True, dirs_exist_ok=True)
    for name in ("lib", "lib64", "bin", "sbin"):
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    commands = root / "commands"
    commands.mkdir()
    for name in S390X_PROGRAMS:
        found = next(iter(sorted(root.glob(f"usr/**/{name}"))), None)
        if found:
            command = commands / name
            command.write_text(f'#!/bin/sh\nexec qemu-s390x-static -L {root} {found} "$@"\n')
            command.chmod(0o755)
    return commands
