"""Programs that this Debian has not, or not in the version that a test needs."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from apmatrix.arch import ApmatrixError
from apmatrix.faces.boot.packages import DOWNLOAD_TIMEOUT, Repository, cache_directory

from .conftest import install, installed

SUITE = "trixie"
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


@or_skip("mdevctl of Debian 13 is not available")
def mdevctl():
    """Files of SUITE's mdevctl, libc6 and libgcc-s1, which it needs."""
    machine = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True).stdout.strip()
    repository = Repository(SUITE, architecture=machine)
    return [repository.tree(package) for package in repository.fetch(("mdevctl", "libc6", "libgcc-s1"))]


class Sources(Repository):
    """Source packages of SUITE."""

    def __init__(self):
        super().__init__(SUITE, cache_directory() / "sources")

    def _source(self):
        return super()._source().replace("deb ", "deb-src ", 1)

    def ap_check(self):
        """ap-check of s390-tools, built once; ApmatrixError if it is not available."""
        with self._lock():
            for built in self._packages.glob("s390-tools-*/ap_tools/ap-check"):
                return built
            self._apt("apt-get", "source", "-q", "s390-tools", timeout=DOWNLOAD_TIMEOUT)
            (tree,) = (path for path in self._packages.glob("s390-tools-*") if path.is_dir())
            reasons = [installed("gcc", "gcc"), installed("make", "make")]
            if not Path("/usr/include/json-c/json.h").exists():
                reasons.append(install("libjson-c-dev"))
            if any(reasons):
                raise ApmatrixError("; ".join(filter(None, reasons)))
            command = ["make", "-C", str(tree / "ap_tools"), "ap-check"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            if done.returncode:
                raise ApmatrixError(f"it cannot be built: {done.stderr.strip()[-200:]}")
            return tree / "ap_tools/ap-check"


@or_skip("no binary package of Debian has ap-check, and its source is not available")
def ap_check():
    """The installed ap-check, or one built from Debian's source."""
    if found := shutil.which("ap-check", path=f"{os.environ['PATH']}:{CALLOUTS}"):
        return Path(found)
    if reason := installed("dpkg-dev", "dpkg-source"):
        raise ApmatrixError(reason)
    return Sources().ap_check()
