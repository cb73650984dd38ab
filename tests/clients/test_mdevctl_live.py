"""mdevctl 1.4 of Debian 13, unmodified, with its own C library: a running device is changed by ``modify --live``."""

import json
from pathlib import Path

import pytest

from . import programs
from .conftest import U1, U2
from .test_ap_check import define_at_once, definition
from .test_mdevctl import RESERVE

CALLOUT = Path(__file__).with_name("live_callout.py")


def prepare(directory, callout=None):
    """A script that makes this mdevctl the one that is found, and puts a callout where it looks for that."""
    files, libraries, compiler = programs.mdevctl()
    (loader,) = libraries.glob("usr/lib/*/ld-*.so.*")
    path = f"{loader.parent}:{compiler / loader.parent.relative_to(libraries)}"
    program = directory / "bin/mdevctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {loader} --library-path {path} {files}/usr/bin/mdevctl "$@"\n')
    program.chmod(0o755)
    callouts = directory / "lib/mdevctl/scripts.d/callouts"
    callouts.mkdir(parents=True)
    if callout:
        place = callouts / callout.stem
        place.write_bytes(callout.read_bytes())
        place.chmod(0o755)
    lower = f"lowerdir={directory}/lib:{files}/usr/lib:/usr/lib"
    return f"export PATH={program.parent}:$PATH; mount -t overlay -o {lower} mdevctl /usr/lib;"


@pytest.fixture
def ready(tmp_path):
    return prepare(tmp_path, CALLOUT)


def change(uuid, *numbers):
    """A script that changes the running device."""
    return f"echo '{definition('manual', *numbers)}' > /run/d; mdevctl modify -u {uuid} --live --jsonfile /run/d;"


def queues(host, guest):
    """The queues that a guest's Linux finds when it looks."""
    return host.sh("/bin/echo 1 > /sys/bus/ap/scans; cd /sys/bus/ap/devices; ls -d *.*", "--guest", guest).split()


def test_a_running_guest_gets_and_loses_queues(host, ready):
    """Its definition stays as it is."""
    host.up()
    host.sh(
        f"{ready} {RESERVE} {define_at_once(U1, 'manual', '5', '4', '4')} mdevctl start -u {U1};"
        f"apmatrix guest start {U1}"
    )
    assert queues(host, U1) == ["05.0004"]
    out = host.sh(f"{ready} {change(U1, '5', '0x47,0xab', '0xab')} cat /sys/bus/mdev/devices/{U1}/control_domains")
    assert out == "00ab\n"
    assert queues(host, U1) == ["05.0047", "05.00ab"]
    host.sh(f"{ready} /bin/echo -6 > /sys/bus/ap/apmask; {change(U1, '5,6', '0x47')}")
    assert queues(host, U1) == ["05.0047", "06.0047"]
    running, defined = (
        json.loads(host.sh(f"{ready} mdevctl list {option} -u {U1} --dumpjson"))["attrs"] for option in ("-v", "-d")
    )
    assert running == [{"assign_adapter": "5"}, {"assign_adapter": "6"}, {"assign_domain": "71"}]
    assert defined == [{"assign_adapter": "5"}, {"assign_domain": "4"}, {"assign_control_domain": "4"}]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [(("5", "4,0x47"), "Address already in use"), (("5,6", "4"), "Cannot assign requested address")],
    ids=["of another device", "of the host"],
)
def test_a_refused_change_changes_nothing(host, ready, wanted, said):
    done = host.run(
        f"{ready} {RESERVE} {define_at_once(U1, 'manual', '5', '4')} {define_at_once(U2, 'manual', '5', '0x47')}"
        f"mdevctl start -u {U1}; mdevctl start -u {U2}; apmatrix guest start {U1}; {change(U1, *wanted)} echo $?;"
        f"cat /sys/bus/mdev/devices/{U1}/matrix /sys/bus/mdev/devices/{U1}/guest_matrix"
    )
    assert done.stdout.split("\n")[-4:] == ["1", "05.0004", "05.0004", ""]
    assert f"ap_config: {said}" in done.stderr


def test_without_a_callout_no_device_is_changed_live(host, tmp_path):
    done = host.run(
        f"{prepare(tmp_path)} {RESERVE} {define_at_once(U1, 'manual', '5', '4')} mdevctl start -u {U1};"
        f"{change(U1, '5', '0x47')} echo $?; cat /sys/bus/mdev/devices/{U1}/matrix"
    )
    assert done.stdout == "1\n05.0004\n"
    assert "Live modification is not supported for this device type" in done.stderr


def test_a_device_that_does_not_run_is_not_changed_live(host, ready):
    done = host.run(f"{ready} {define_at_once(U1, 'manual', '5', '4')} {change(U1, '5', '0x47')} echo $?")
    assert done.stdout == "1\n"
    assert f"Mediated device {U1} is not active" in done.stderr
