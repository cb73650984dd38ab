"""The package as it is installed: a wheel built from the checkout, without looking anything up outside."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from support.documents import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def build(directory: Path) -> Path:
    """Build a wheel in ``directory``; its path."""
    words = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir"]
    command = [sys.executable, "-m", *words, str(directory), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, cwd=directory)
    if "BackendUnavailable" in built.stderr:
        pytest.skip("hatchling, which builds the wheel, is not installed")
    assert built.returncode == 0, built.stderr
    (wheel,) = directory.glob("apmatrix-*.whl")
    return wheel


def installed(directory: Path) -> Path:
    """Unpack a freshly built wheel below ``directory``; the folder that programs import it from."""
    target = directory / "site"
    zipfile.ZipFile(build(directory)).extractall(target)
    return target


def run_installed(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``apmatrix`` from the folder that ``installed`` gave, outside of the checkout."""
    program = "import sys, apmatrix; assert apmatrix.__path__[0].startswith(sys.argv.pop(1)), apmatrix.__path__\n"
    program += "from apmatrix.cli.main import main; main(prog_name='apmatrix')"
    return subprocess.run(
        [sys.executable, "-c", program, str(site), *words],
        cwd=site.parent,
        env=os.environ | {"PYTHONPATH": str(site), "COLUMNS": "120"},
        capture_output=True,
        text=True,
    )
