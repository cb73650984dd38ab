"""``make venv`` says what is wrong, and installs only what is missing."""

import os
import shutil
import subprocess
import sys

import pytest

from support.documents import ROOT

PYTHON = """#!/bin/sh
case "$*" in *ensurepip*) exit {lacking};; *-m\\ venv*) echo "venv: its own error" >&2; exit 1;; esac
exec {python} "$@"
"""
APT = '#!/bin/sh\necho "apt-get $*" >>{log}\ncase "$*" in *-sq*) echo "Inst python3-venv (3.11)"; {upgrade};; esac\n'
pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


def make(tmp_path, *, lacking, user, upgrade=":"):
    """What ``make venv`` prints on a computer with these programs, and the calls of apt-get."""
    log = tmp_path / "log"
    programs = {
        "python3": PYTHON.format(lacking=int(lacking), python=sys.executable),
        "apt-get": APT.format(log=log, upgrade=upgrade),
        "id": f"#!/bin/sh\necho {user}\n",
    }
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    environment = {"PATH": path, "HOME": os.environ.get("HOME", "/")}
    done = subprocess.run(["make", "venv"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    return done.stdout + done.stderr, log.read_text().splitlines() if log.exists() else []


def test_venv_shows_its_own_error(tmp_path):
    said, installed = make(tmp_path, lacking=False, user=0)
    assert "venv: its own error" in said
    assert installed == []


def test_a_user_is_told_what_is_missing(tmp_path):
    said, installed = make(tmp_path, lacking=True, user=1000)
    assert "lacks the module ensurepip: as root, apt-get install python3-venv" in said
    assert installed == []


def test_what_is_missing_is_installed_by_root(tmp_path):
    said, installed = make(tmp_path, lacking=True, user=0)
    assert "installing Debian package python3-venv" in said
    assert installed[-1] == "apt-get -qy --no-install-recommends install python3-venv"


def test_nothing_is_upgraded_unasked(tmp_path):
    said, installed = make(tmp_path, lacking=True, user=0, upgrade='echo "Inst python3.11 [3.11.2-6] (3.11.2-7)"')
    assert "python3-venv would upgrade python3.11: install it yourself: apt-get install python3-venv" in said
    assert installed[-1] == "apt-get -sq install python3-venv"
