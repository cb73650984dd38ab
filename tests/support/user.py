"""An ordinary user, with a uid of its own, played by root.

It happens in a mount namespace in which this Python and this program can be read by everybody, with a /dev/fuse of
its own. Nothing outside changes.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, TypedDict

import apmatrix

ROOT = Path(__file__).parents[2]
USER = "54321"
PLACE = "/mnt"
HOME = f"{PLACE}/home"
THREE = f"{PLACE}/examples/three-guests.toml"

FURNISH = f"""set -e
mount -t tmpfs -o mode=0755 place {PLACE}
cd {PLACE}
show() {{ mkdir -p "$2"; mount --bind "$1" "$2"; }}
show {sys.base_prefix} python
show {sysconfig.get_path("purelib")} packages
show {Path(apmatrix.__file__).parents[1]} src
show {ROOT}/examples examples
show {ROOT}/tests tests
mknod fuse c 10 229
chmod $FUSE fuse
mount --bind fuse /dev/fuse
mkdir bin
printf '#!{PLACE}/python/bin/python3\\nfrom apmatrix.cli.main import main\\nmain()\\n' > bin/apmatrix
chmod 755 bin/apmatrix
mkdir home
chown {USER}:{USER} home
cd home
"""
BECOME = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "sh", "-c")


class Start(TypedDict):
    """What subprocess needs to start the user's commands; the command's own words come after ``args``."""

    args: list[str]
    env: dict[str, str]


@functools.cache
def missing() -> str:
    """Why there can be no such user here; empty if there can."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        return "only root can become another user, with setpriv"
    done = by_user("python3 -c 'import apmatrix.cli.main' && unshare -Urmn true && : < /dev/fuse")
    return f"an ordinary user cannot do that here: {done.stderr.strip()[-200:]}" if done.returncode else ""


def command(*, fuse: str = "0666", home: str = HOME) -> Start:
    """How the user's commands are started."""
    environment = {
        "PATH": f"{PLACE}/python/bin:{PLACE}/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "PYTHONPATH": f"{PLACE}/packages:{PLACE}/src",
        "PYTHONDONTWRITEBYTECODE": "1",
        "FUSE": fuse,
    }
    if home:
        environment["HOME"] = home
    return {"args": ["unshare", "-m", "sh", "-c", f'{FURNISH} exec "$@"', "sh"], "env": environment}


def by_user(script: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """A script that the user runs: the finished process."""
    started = command(**more)
    return subprocess.run(
        [*started["args"], *BECOME, script], env=started["env"], capture_output=True, text=True, timeout=120
    )


def sh(script: str, **more: Any) -> str:
    """What a script prints that must succeed."""
    done = by_user(script, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def inside(script: str, *options: str, file: str = THREE) -> str:
    """The words of a command that runs a script on the machine."""
    return f"apmatrix run {' '.join(options)} {file} -- sh -c '{script}'"
