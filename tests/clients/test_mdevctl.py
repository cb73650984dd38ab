"""mdevctl of this Debian, unmodified."""

import json

import pytest

from support import user

from .conftest import U1, U2, need

MATRIX = "--parent matrix --type vfio_ap-passthrough"
RESERVE = "/bin/echo -5 > /sys/bus/ap/apmask;"


@pytest.fixture(autouse=True)
def _mdevctl():
    need("mdevctl", "mdevctl")


def define(uuid, *numbers, start=""):
    """A script that defines an mdev with adapters and domains."""
    attributes = zip(("assign_adapter", "assign_domain", "assign_control_domain"), numbers, strict=False)
    return f"mdevctl define --uuid {uuid} {MATRIX} {start};" + "".join(
        f"mdevctl modify --uuid {uuid} --addattr={name} --value={value};" for name, value in attributes
    )


def test_types(host):
    out = host.sh("mdevctl types")
    assert out.split("\n")[:5] == [
        "matrix",
        "  vfio_ap-passthrough",
        "    Available instances: 65536",
        "    Device API: vfio-ap",
        "    Name: VFIO AP Passthrough Device",
    ]


def test_define_start_stop_undefine(host):
    """The definition is kept; the device is not, and has the queues while it is there."""
    out = host.sh(
        f"{RESERVE} {define(U1, '5', '0xab', '0xab')} mdevctl start --uuid {U1};"
        f"cat /sys/bus/mdev/devices/{U1}/matrix;"
        f"cat /sys/bus/mdev/devices/{U1}/control_domains; mdevctl list; cat /sys/bus/ap/devices/05.00ab/status;"
        f"mdevctl list -d --dumpjson; mdevctl stop --uuid {U1}; cat /sys/bus/ap/devices/05.00ab/status;"
        f"mdevctl undefine --uuid {U1}; mdevctl list -d"
    )
    assert out.startswith(f"05.00ab\n00ab\n{U1} matrix vfio_ap-passthrough manual (defined)\n\nassigned\n")
    listed, _, rest = out.partition("assigned\n")[2].partition("unassigned\n")
    definition = json.loads(listed)[0]["matrix"][0][U1]
    assert definition["attrs"] == [
        {"assign_adapter": "5"},
        {"assign_domain": "0xab"},
        {"assign_control_domain": "0xab"},
    ]
    assert rest.strip() == ""


def test_what_the_kernel_refuses_is_said_in_mdevctls_words(host):
    """An APQN of the host's own drivers, then one of another mdev; nothing is left of a refused start."""
    done = host.run(
        f"{define(U1, '5', '4')} {define(U2, '5', '4')} mdevctl start --uuid {U1}; echo $?; {RESERVE}"
        f"mdevctl start --uuid {U1}; echo $?; mdevctl start --uuid {U2}; echo $?; mdevctl list"
    )
    assert done.stdout == f"1\n0\n1\n{U1} matrix vfio_ap-passthrough manual (defined)\n\n"
    assert "Cannot assign requested address (os error 99)" in done.stderr
    assert "Address already in use (os error 98)" in done.stderr


def test_a_device_of_a_running_guest_is_taken_away(host):
    """mdevctl stop writes ``remove``; QEMU gives the device back."""
    out = host.sh(
        f"{RESERVE} {define(U1, '5', '4')} mdevctl start --uuid {U1}; apmatrix guest start {U1};"
        f"cat /sys/bus/ap/devices/05.0004/status; mdevctl stop --uuid {U1}; cat /sys/bus/ap/devices/05.0004/status"
    )
    assert out.split("\n")[1:3] == ["in use", "unassigned"]


def test_auto_devices_start_at_boot(host):
    """MDEV_STATE=registered makes udevd call mdevctl."""
    host.up()
    host.sh(define(U1, "5", "0x47", start="--auto"))
    rule = 'ACTION=="change", SUBSYSTEM=="ap", ENV{BINDINGS}=="complete", ATTR{../../bus/ap/apmask}="-5"'
    # Debian 12 puts mdevctl into /usr/bin, and its rule looks for it in /usr/sbin.
    host.sh(
        f"/bin/echo '{rule}' > /etc/udev/rules.d/41-ap.rules; cd /lib/udev/rules.d;"
        "sed s,/usr/sbin/mdevctl,$(command -v mdevctl), 60-mdevctl.rules > /etc/udev/rules.d/60-mdevctl.rules"
    )
    host.reboot()
    assert host.sh("ls /sys/bus/mdev/devices") == ""
    out = host.sh("mdevctl list; cat /sys/bus/mdev/devices/*/matrix", "--udev")
    assert out == f"{U1} matrix vfio_ap-passthrough auto (defined)\n\n05.0047\n"


def test_a_callout_decides(host):
    """mdevctl asks scripts in /etc/mdevctl.d before it acts: here, one that reads the matrix as ap-check does."""
    callout = "/etc/mdevctl.d/scripts.d/callouts/check"
    script = "#!/bin/bash\\ngrep -q . /sys/bus/ap/apmask || exit 1\\n[[ $* == *start* ]] && exit 1\\nexit 0\\n"
    done = host.run(
        f"mkdir -p {callout.rpartition('/')[0]}; printf '{script}' > {callout}; chmod +x {callout};"
        f"{define(U1, '5', '4')} mdevctl start --uuid {U1}; echo $?; ls /sys/bus/mdev/devices"
    )
    assert done.stdout == "1\n"
    assert "callout" in done.stderr.lower()


def test_an_ordinary_user_keeps_definitions_in_an_etc_that_is_roots():
    """In a user namespace, where /etc/mdevctl.d belongs to somebody else."""
    if reason := user.missing():
        pytest.skip(reason)
    out = user.sh(
        user.inside(
            f"{RESERVE} {define(U1, '5', '0xab')} mdevctl start --uuid {U1}; mdevctl list -d;"
            f"cat /sys/bus/mdev/devices/{U1}/matrix; mdevctl stop --uuid {U1}; mdevctl undefine --uuid {U1};"
            "mdevctl list -d",
            file=f"{user.PLACE}/tests/data/clients/host.toml",
        )
    )
    assert out == f"{U1} matrix vfio_ap-passthrough manual (active)\n\n05.00ab\n\n"
