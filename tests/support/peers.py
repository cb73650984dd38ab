"""Other projects' tests: where their sources are, and what docs/peers.md says that they give.

``APMATRIX_PEERS`` names a directory with checkouts, each in a directory with the name of its suite; ``make peers
PEERS=DIRECTORY`` sets it. Without a checkout, the source package of Debian is taken, where it has one.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from apmatrix.faces.boot.errors import PackageError
from support.debian import source
from support.documents import ROOT

VARIABLE = "APMATRIX_PEERS"
PAGE = ROOT / "docs" / "peers.md"

SUITES: dict[str, str | None] = {
    "kvm-unit-tests": None,
    "libica": "libica",
    "openssl-ibmca": "openssl-ibmca",
    "s390-tools": "s390-tools",
}
"""The suites, and their source packages in Debian."""

_ROW = re.compile(r"^\| `([\w-]+/[\w-]+)` \| (\d+) \| (\d+) \| (\d+) \|", re.MULTILINE)
_UNWANTED = shutil.ignore_patterns(".git")


@dataclass(frozen=True)
class Counted:
    """How many tests of a run passed, failed, and could not run."""

    passed: int
    failed: int = 0
    not_run: int = 0


def counts(page: str | None = None) -> dict[str, Counted]:
    """What the page says about each run, which is named after its suite: ``kvm-unit-tests/lpar``."""
    rows = _ROW.findall(PAGE.read_text() if page is None else page)
    return {name: Counted(*map(int, numbers)) for name, *numbers in rows}


def checkout(suite: str) -> Path:
    """The directory with a suite's sources, not to be written to; skips the test if they cannot be had."""
    reasons = []
    if places := os.environ.get(VARIABLE):
        if (place := Path(places).expanduser().resolve() / suite).is_dir():
            return place
        reasons.append(f"{place} is not a directory")
    else:
        reasons.append(f"{VARIABLE} names no directory with checkouts")
    if package := SUITES[suite]:
        try:
            return source(package)
        except PackageError as error:
            reasons.append(str(error))
    else:
        reasons.append("Debian has no package of it")
    pytest.skip(f"the sources of {suite} cannot be had: {'; '.join(reasons)}")


def copy(suite: str, directory: Path) -> Path:
    """A copy of a suite's sources, to build in; skips the test if they cannot be had."""
    return Path(shutil.copytree(checkout(suite), directory / suite, symlinks=True, ignore=_UNWANTED))


def need(*programs: str) -> None:
    """Skip the test unless these programs are there."""
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is missing (docs/peers.md says which packages are needed)")
