"""What works for an ordinary user, without root, and what is said where it does not."""

import subprocess
from pathlib import Path

import pytest

from support.processes import output
from support.user import BECOME, PLACE, THREE, USER, by_user, command, inside, missing, sh


@pytest.fixture(autouse=True)
def _possible():
    if reason := missing():
        pytest.skip(reason)


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
    runs = "machine three-guests is running: apmatrix shell --machine three-guests\n"
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
    """As it is left after the machine ran as root once."""
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
        assert output(process).readline() == "ready\n"
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{name}").write_text(f"0 0 1\n{USER} {USER} 1\n")
        out, said = process.communicate("go\n")
    assert (process.returncode, out) == (1, "")
    assert said.startswith(
        "apmatrix: namespaces are not allowed here (No space left on device): a private /sys needs"
    )
    assert "user.max_user_namespaces" in said


PROGRAM = f"""
import apmatrix
with apmatrix.Machine.from_file("{THREE}") as machine:
    try:
        print(machine.run(["id", "-u"]).stdout.strip())
    except apmatrix.CannotRun as error:
        print(error)
"""


def test_the_python_api_runs_programs_for_a_user_and_says_what_is_missing():
    assert sh(f"python3 -c '{PROGRAM}'") == "0\n"
    assert sh(f"python3 -c '{PROGRAM}'", fuse="0600").startswith("/dev/fuse cannot be opened (Permission denied): ")
