"""Programs that this Debian has not, or not in the version that a test needs."""

import fcntl
import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from apmatrix.arch import ApmatrixError
from apmatrix.faces.boot.packages import Repository
from support.debian import SUITES, source

from .conftest import install, installed

CALLOUTS = "/usr/lib/mdevctl/scripts.d/callouts:/etc/mdevctl.d/scripts.d/callouts"


def or_skip(why):
    """Call a function once; where it raised ApmatrixError, every test that needs its result is skipped."""

    def wrap(fetch):
        @functools.cache
        def attempt():
            try:
                return fetch(), ""
            except ApmatrixError as error:
                return None, f"{why}: {error}"

        @functools.wraps(fetch)
        def get():
            found, reason = attempt()
            if reason:
                pytest.skip(reason)
            return found

        return get

    return wrap


def architecture():
    """Debian's name of this machine's architecture."""
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True).stdout.strip()


@or_skip("mdevctl of Debian 13 is not available")
def mdevctl():
    """Files of mdevctl of one of SUITES, and of libc6 and libgcc-s1, which it needs."""
    repository = Repository(*SUITES, architecture=architecture())
    return [repository.tree(package) for package in repository.fetch(("mdevctl", "libc6", "libgcc-s1"))]


@or_skip("no binary package of Debian has ap-check, and its source is not available")
def ap_check():
    """The installed ap-check, or one built from Debian's source."""
    if found := shutil.which("ap-check", path=f"{os.environ['PATH']}:{CALLOUTS}"):
        return Path(found)
    if reason := installed("dpkg-dev", "dpkg-source"):
        raise ApmatrixError(reason)
    tree = source("s390-tools")
    built = tree / "ap_tools/ap-check"
    if not built.exists():
        _build(tree / "ap_tools")
    return built


def _build(directory):
    """Build ap-check of s390-tools; ApmatrixError if that cannot be done."""
    reasons = [installed("gcc", "gcc"), installed("make", "make")]
    if not Path("/usr/include/json-c/json.h").exists():
        reasons.append(install("libjson-c-dev"))
    if any(reasons):
        raise ApmatrixError("; ".join(filter(None, reasons)))
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["make", "-C", directory, "ap-check"], capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise ApmatrixError(f"it cannot be built: {done.stderr.strip()[-200:]}")
