"""An ordinary user, with a uid of its own: what works without root, and what is said where it does not.

Root plays that user in a mount namespace in which this Python and this program can be read by everybody, with a
/dev/fuse of its own. Nothing outside changes.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import apmatrix

ROOT = Path(__file__).parents[2]
USER = "54321"
PLACE = "/mnt"
HOME = f"{PLACE}/home"
THREE = f"{PLACE}/examples/three-guests.toml"
UUID = "94c662cd-0000-4000-8000-31dbd8dcb35f"

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


@pytest.fixture(scope="module", autouse=True)
def _possible():
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("only root can become another user, with setpriv")
    done = by_user("python3 -c 'import apmatrix.cli.main' && unshare -Urmn true && : < /dev/fuse")
    if done.returncode:
        pytest.skip(f"an ordinary user cannot do that here: {done.stderr.strip()[-200:]}")


def command(*, fuse="0666", home=HOME):
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


def by_user(script, **more):
    """A script that the user runs: the finished process."""
    started = command(**more)
    return subprocess.run(
        [*started["args"], *BECOME, script], env=started["env"], capture_output=True, text=True, timeout=120
    )


def sh(script, **more):
    """What a script prints that must succeed."""
    done = by_user(script, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def inside(script, *options, file=THREE):
    """The words of a command that runs a script on the machine."""
    return f"apmatrix run {' '.join(options)} {file} -- sh -c '{script}'"


def test_the_machine_is_the_users():
    """Who is root in there may write to the emulated /sys, and to nothing else that was not the user's before."""
    out = sh(
        "id -u;"
        + inside(
            "id -u; cd /sys/bus/ap; cat devices/05.0004/status; /bin/echo -7 > apmask; cat apmask;"
            "touch /usr/x || echo refused; mknod /run/x c 1 3 || echo refused; kill -0 1 && echo alone"
        )
    )
    assert out == f"{USER}\n0\nin use\n0xf8{'f' * 62}\nrefused\nrefused\nalone\n"


def test_a_guests_system():
    assert sh(inside("ls /sys/bus/ap/devices", "--guest", "guest2")).split() == ["05.0047", "05.00ff", "card05"]


def test_cards_compute_for_the_users_programs():
    """The machine reads a process's storage from outside its user namespace."""
    client = f"python3 {PLACE}/tests/faces/zcrypt_client.py"
    out = sh(inside(f"{client} z90crypt right many", file=f"{PLACE}/tests/data/clients/host.toml"))
    assert out == "true\ntrue\n"


def test_configuration_is_made_where_etc_is_roots():
    """In directories that are not the user's; they can go, too, and come again empty."""
    directory = Path("/etc/default")
    assert directory.owner() == "root"
    before = sorted(directory.iterdir())
    out = sh(
        inside(
            f"cd {directory}; ls -A | wc -l; mkdir -p new/d; echo text > new/d/file; cat new/d/file; cd /;"
            f"rm -r {directory}; ls -d {directory}; mkdir {directory}; ls -A {directory}; echo end"
        )
        + " 2>&1"
    )
    assert out == f"{len(before)}\ntext\nls: cannot access '{directory}': No such file or directory\nend\n"
    assert sorted(directory.iterdir()) == before


def test_a_machine_in_the_background():
    """It is kept in the user's home, with what was written to /etc."""
    on_it = "apmatrix run --machine three-guests --"
    kept = "/etc/mdevctl.d/matrix/x"
    out = sh(
        f"apmatrix up {THREE} && {on_it} sh -c 'mkdir -p ${{0%/x}} && echo kept > $0' {kept}; {on_it} cat {kept};"
        "apmatrix guest stop guest1 --machine three-guests; apmatrix down; apmatrix status;"
        f"apmatrix up {THREE}; {on_it} cat {kept} /sys/bus/ap/devices/05.0004/status; apmatrix down;"
        "find -user 0; stat -c %a .local/state/apmatrix/three-guests"
    )
    runs = "machine three-guests runs: apmatrix shell --machine three-guests\n"
    stopped = "machine three-guests stopped\n"
    assert out == (
        f"{runs}kept\nkvm1/guest1 stopped\n{stopped}three-guests  stopped\n{runs}kept\nin use\n{stopped}700\n"
    )


@pytest.mark.parametrize("words", [f"up {THREE}", "status"])
@pytest.mark.parametrize(
    ("home", "said"), [(None, "this user has no home directory: set "), ("/root", "Permission denied: set ")]
)
def test_a_user_without_a_home(words, home, said):
    done = by_user(f"apmatrix {words}", home=home)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_somebody_elses_state_directory():
    """As it is left by who ran the machine as root once."""
    done = by_user(f"APMATRIX_STATE={PLACE} apmatrix up {PLACE}/examples/nested.toml")
    assert done.returncode == 2
    assert done.stderr.startswith(f"apmatrix: {PLACE}/nested: Permission denied: set APMATRIX_STATE to a directory")


def test_dev_fuse_that_is_closed():
    done = by_user(inside("true"), fuse="0600")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("apmatrix: /dev/fuse cannot be opened (Permission denied): an emulated /sys is a ")
    assert done.stderr.endswith("or give this user access: chmod 0666 /dev/fuse\n")


def test_user_namespaces_that_are_forbidden():
    """By the limit of a user namespace around it, which knows the user and root."""
    started = command()
    limit = 'echo ready; read go; echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'
    words = [*started["args"], "unshare", "-U", "--keep-caps", "sh", "-c", limit, "sh", *BECOME, inside("true")]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=started["env"], stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{name}").write_text(f"0 0 1\n{USER} {USER} 1\n")
        out, said = process.communicate("go\n")
    assert (process.returncode, out) == (1, "")
    assert said.startswith(
        "apmatrix: namespaces are not allowed here (No space left on device): a private /sys needs"
    )
    assert "user.max_user_namespaces" in said
