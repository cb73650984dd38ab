"""ap-check, as the callout of this Debian's mdevctl: it refuses conflicts before the kernel is asked."""

import json
import shlex

import pytest

from . import programs
from .conftest import U1, U2, need
from .test_mdevctl import MATRIX, RESERVE, define

UNRESERVED = f"0x{'f' * 64}"
RESERVED = f"0xfb{'f' * 62}"


@pytest.fixture
def callout():
    """A script that makes ap-check the callout."""
    need("mdevctl", "mdevctl")
    place = "/etc/mdevctl.d/scripts.d/callouts"
    return f"mkdir -p {place}; ln -sf {programs.ap_check()} {place}/;"


def definition(start, *numbers):
    """What ``mdevctl define --jsonfile`` reads."""
    names = ("assign_adapter", "assign_domain", "assign_control_domain")
    attributes = [{name: value} for name, value in zip(names, numbers, strict=False)]
    return json.dumps({"mdev_type": "vfio_ap-passthrough", "start": start, "attrs": attributes})


def define_at_once(uuid, *description):
    return f"echo '{definition(*description)}' > /run/d; mdevctl define -u {uuid} -p matrix --jsonfile /run/d;"


def rule(mask):
    """A script that keeps an apmask for the next boot, in chzdev's file and form: ap-check reads no other."""
    lines = (
        'ACTION=="change", SUBSYSTEM=="ap", DEVPATH=="/devices/ap", ENV{BINDINGS}=="complete", GOTO="cfg_ap"',
        'GOTO="end_ap"',
        'LABEL="cfg_ap"',
        f'ATTR{{../../bus/ap/apmask}}="{mask}"',
        'LABEL="end_ap"',
    )
    return f"mkdir -p /etc/udev/rules.d; printf '%s\\n' {shlex.join(lines)} > /etc/udev/rules.d/41-ap.rules;"


def test_a_queue_of_the_host_is_refused_until_it_is_reserved(host, callout):
    done = host.run(
        f"{callout} {define(U1, '5', '4')} mdevctl start -u {U1}; echo $?; ls /sys/bus/mdev/devices /run/lock;"
        f"{RESERVE} mdevctl start -u {U1}; echo $?; cat /sys/bus/mdev/devices/{U1}/matrix; ls /run/lock"
    )
    assert done.stdout == "1\n/run/lock:\n\n/sys/bus/mdev/devices:\n0\n05.0004\n"
    assert " 5.4 is not allowed for vfio_ap-passthrough use by the active ap bus mask settings" in done.stderr
    assert "Cannot assign requested address" not in done.stderr


def test_a_queue_of_another_device_is_refused_while_that_runs(host, callout):
    done = host.run(
        f"{callout} {RESERVE} {define(U1, '5', '4')} {define(U2, '5', '4')} mdevctl start -u {U1};"
        f"mdevctl start -u {U2}; echo $?; mdevctl stop -u {U1}; mdevctl start -u {U2}; echo $?; mdevctl list"
    )
    assert done.stdout == f"1\n0\n{U2} matrix vfio_ap-passthrough manual (defined)\n\n"
    assert f"APQN 5.4 already in use by {U1}" in done.stderr
    assert "Address already in use" not in done.stderr


def test_an_auto_device_must_agree_with_the_masks_of_the_next_boot(host, callout):
    """Those of the rule, not those of now; only without a rule the ones of now."""
    done = host.run(
        f"{callout} {define_at_once(U1, 'auto', '5', '4')} echo $?; mdevctl list -d;"
        f"{rule(RESERVED)} {define_at_once(U1, 'auto', '5', '4')} echo $?; mdevctl undefine -u {U1};"
        f"{RESERVE} {rule(UNRESERVED)} {define_at_once(U1, 'auto', '5', '4')} echo $?; mdevctl list -d"
    )
    assert done.stdout == "1\n\n0\n1\n\n"
    said = " 5.4 is not defined for vfio_ap-passthrough use by the persistent ap bus mask settings"
    assert done.stderr.count(said) == 2


def test_two_auto_devices_must_not_share_a_queue(host, callout):
    """Neither by define nor by modify; a manual device may."""
    done = host.run(
        f"{callout} {RESERVE} {define_at_once(U1, 'auto', '5', '4')} {define_at_once(U2, 'auto', '5', '4')} echo $?;"
        f"{define_at_once(U2, 'auto', '5', '0x47')} echo $?;"
        f"mdevctl modify -u {U2} --addattr=assign_domain --value=4; echo $?;"
        f"mdevctl modify -u {U2} --manual; echo $?;"
        f"mdevctl modify -u {U2} --addattr=assign_domain --value=4; echo $?; mdevctl modify -u {U2} --auto; echo $?"
    )
    assert done.stdout == "1\n0\n1\n0\n0\n1\n"
    assert done.stderr.count(f"APQN 5.4 is defined for autostart by {U1}") == 3


def test_a_running_device_is_defined_with_what_it_has(host, callout):
    """ap-check tells mdevctl its matrix."""
    out = host.sh(
        f"{callout} {RESERVE} echo '{definition('manual', '5', '0xab', '0x47')}' > /run/d;"
        f"mdevctl start -u {U1} -p matrix --jsonfile /run/d; mdevctl define -u {U1};"
        f"mdevctl list -d --dumpjson; mdevctl stop -u {U1}; mdevctl start -u {U1}; cd /sys/bus/mdev/devices/{U1};"
        "cat matrix control_domains"
    )
    listed, end, shown = out.rpartition("]\n")
    assert json.loads(listed + end)[0]["matrix"][0][U1]["attrs"] == [
        {"assign_adapter": "5"},
        {"assign_domain": "171"},
        {"assign_control_domain": "71"},
    ]
    assert shown == "05.00ab\n0047\n"


def test_control_domains_alone_are_refused(host, callout):
    done = host.run(
        f"{callout} mdevctl define -u {U1} {MATRIX};"
        f"mdevctl modify -u {U1} --addattr=assign_control_domain --value=4; mdevctl start -u {U1}; echo $?"
    )
    assert done.stdout == "1\n"
    assert "At least one usage domain must be specified" in done.stderr


def test_a_running_device_is_changed_live(host, callout):
    """By ap-check itself, asked as mdevctl 1.4 asks its callouts, in one write to ap_config."""
    device = f"/sys/bus/mdev/devices/{U1}"

    def live(*numbers):
        asked = f"{programs.ap_check()} -t vfio_ap-passthrough -e live -a modify -s none -u {U1} -p matrix"
        return f"echo '{definition('manual', *numbers)}' | {asked}; echo $?; cd {device}; cat matrix control_domains;"

    done = host.run(
        f"{callout} {RESERVE} {define(U1, '5', '4')} mdevctl start -u {U1};"
        f"{live('5', '0x47,0xab', '0xab')} {live('5,10', '4')}"
    )
    changed = "05.0047\n05.00ab\n00ab\n"
    assert done.stdout == f"0\n{changed}255\n{changed}"
    assert " 10.4 is not allowed for vfio_ap-passthrough use by the active ap bus mask settings" in done.stderr
