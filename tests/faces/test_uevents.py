"""Which uevents reach a command of ``apmatrix run``: the emulated system's, and no others."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import output

from .place import missing

APMATRIX = str(Path(sys.executable).with_name("apmatrix"))
FILE = str(Path(__file__).parents[2] / "examples/three-guests.toml")
UEVENTS = 15  # NETLINK_KOBJECT_UEVENT
LISTENER = f"""
import socket, sys
events = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, {UEVENTS})
events.bind((0, 1))
print("ready", flush=True)
sys.stdin.readline()
open("/sys/devices/ap/card05/uevent", "w").write("change")
try:
    while True:
        print(events.recv(65536).split(bytes(1))[0].decode())
except BlockingIOError:
    pass
"""

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


def test_the_computers_own_events_stay_outside():
    """The kernel announces every file system that is mounted: those of another command, for example."""
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, UEVENTS) as outside,
        subprocess.Popen(
            [APMATRIX, "run", FILE, "--", sys.executable, "-c", LISTENER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as listener,
    ):
        assert output(listener).readline() == "ready\n"
        outside.bind((0, 1))
        subprocess.run([APMATRIX, "run", FILE, "--", "true"], check=True)
        try:
            told = outside.recv(65536)
        except BlockingIOError:
            pytest.skip("this kernel does not report mounts, or not in this network namespace")
        assert re.match(rb"(add|remove|change)@/", told)
        assert listener.communicate("\n", timeout=60)[0] == "change@/devices/ap/card05\n"
        assert listener.returncode == 0
