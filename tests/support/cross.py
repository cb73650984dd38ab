"""Other projects' programs for s390x: built against Debian's libraries, and run in a booted guest that has these."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from apmatrix.faces.boot import PackageError, Software
from apmatrix.faces.boot.packages import Repository
from support.peers import need

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from support.guests import Session

COMPILER = "s390x-linux-gnu-gcc"
LIBRARIES = ("libssl3|libssl3t64", "libcrypt1", "libtinfo6", "zlib1g", "libzstd1")
"""What programs and shells in the guest need besides libc; alternatives are names in different suites."""
BUILD = ("libc6", "libc6-dev", "linux-libc-dev", "libgcc-s1", "libssl-dev", "libcrypt-dev", *LIBRARIES)

SHELLS = {"bash": ("bin/bash",), "perl-base": ("bin/perl", "lib/**/*.p[ml]")}
"""What many tests are written in, for ``installed``."""
KERNEL = "sid"
PLACE = "peers"
"""The guest's directory with what was built."""
_OUTCOME = re.compile(r"^== (\S+) (\d+)\n", re.MULTILINE)
_RUN = """
run() {{
    name=$1; shift
    timeout {limit} "$@" >/tmp/output 2>&1 </dev/null; code=$?
    echo; echo "== $name $code"; tail -c 6000 /tmp/output
}}
{script}
echo; echo '== end 0'
"""


@dataclass(frozen=True)
class Outcome:
    """The exit code of a program in the guest, and the end of what it printed."""

    code: int
    output: str


def packages(names: Iterable[str]) -> dict[str, Path]:
    """The unpacked packages for s390x by their names, all of one suite; skips the test without one of them.

    A name ``a|b`` means one of the two, whichever the suite has.
    """
    repository, reasons = Repository(), []
    for chosen in itertools.product(*(name.split("|") for name in names)):
        try:
            return dict(zip(chosen, map(repository.tree, repository.fetch(chosen)), strict=True))
        except PackageError as error:
            reasons.append(str(error))
    pytest.skip(f"packages for s390x are not available: {'; '.join(reasons)}")


class Cross:
    """A cross compiler with Debian's headers and libraries for s390x in ``root``."""

    def __init__(self, directory: Path, *more: str) -> None:
        need(COMPILER, "make")
        self.root = directory / "root"
        for tree in packages([*BUILD, *more]).values():
            shutil.copytree(tree, self.root, symlinks=True, dirs_exist_ok=True)
        self.compiler = directory / "cc"
        places = [self.root / base / "s390x-linux-gnu" for base in ("usr/lib", "lib")]
        options = [f"--sysroot={self.root}", f"-isystem {self.root}/usr/include/s390x-linux-gnu"]
        options += [option for place in places for option in (f"-B{place}", f"-L{place}", f"-Wl,-rpath-link,{place}")]
        self.compiler.write_text(f'#!/bin/sh\nexec {COMPILER} {" ".join(options)} "$@"\n')
        self.compiler.chmod(0o755)

    def build(self, tree: Path, *steps: str) -> None:
        """Run lines of shell in a source tree, with ``$CC`` and ``$ROOT``; a test fails where one of them does."""
        for step in steps:
            environment = {"CC": str(self.compiler), "ROOT": str(self.root), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
            done = subprocess.run(["sh", "-c", step], cwd=tree, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{step}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def built(tree: Path, *patterns: str) -> dict[str, bytes]:
    """Files of a tree that match patterns, as files of the guest below its directory ``/peers``."""
    paths = {path for pattern in patterns for path in tree.glob(pattern) if path.is_file()}
    return {f"{PLACE}/{tree.name}/{path.relative_to(tree)}": path.read_bytes() for path in sorted(paths)}


def is_program(path: Path) -> bool:
    """Whether a file is a linked program for some Linux, and no object file."""
    return path.is_file() and path.suffix != ".o" and path.read_bytes()[:4] == b"\x7fELF"


def installed(wanted: Mapping[str, Iterable[str]]) -> dict[str, bytes]:
    """Files of packages, as files of the guest: for each package, patterns below its ``/usr`` or ``/``."""
    files = {}
    for patterns, tree in zip(wanted.values(), packages(wanted).values(), strict=True):
        for path in {path for pattern in patterns for base in (tree, tree / "usr") for path in base.glob(pattern)}:
            if path.is_file():
                files[f"usr/{str(path.relative_to(tree)).removeprefix('usr/')}"] = path.read_bytes()
    return files


def outcomes(output: str) -> dict[str, Outcome]:
    """What each test gave; AssertionError if the guest did not come to the end of the list."""
    _, *found = _OUTCOME.split(output.replace("\r", ""))
    done = {name: Outcome(int(code), text.strip("\n")) for name, code, text in zip(*[iter(found)] * 3, strict=True)}
    assert "end" in done, output[-2000:]
    del done["end"]
    return done


def run(
    session: Session, script: str, files: Mapping[str, bytes], *more: str, limit: int = 200, kernel: str = KERNEL
) -> dict[str, Outcome]:
    """What the tests of a script gave, which calls ``run NAME COMMAND …`` for each; ``limit`` is in seconds each.

    ``more`` are packages whose libraries the files need; ``kernel`` is as ``Software`` takes it.
    """
    file = f"{PLACE}/run.sh"
    extra = {**files, file: _RUN.format(limit=limit, script=script).encode()}
    needed = tuple(packages([*LIBRARIES, *more]))
    output = bytearray()
    with session.guest(Software(kernel, command=f"sh /{file}", extra=extra, packages=needed)) as guest:
        guest.wait_until_ready()
        assert guest.run_command(output.extend, 1500) == 0
        guest.wait_until_ended(60)
    return outcomes(output.decode(errors="replace"))
