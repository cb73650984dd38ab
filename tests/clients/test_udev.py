"""systemd-udevd, udevadm and driverctl of this Debian, unmodified."""

import pytest

from .conftest import THREE, need


@pytest.fixture(autouse=True)
def _udev():
    need("udev", "udevadm", "systemd-udevd")


def test_udevd_has_handled_the_boot(host):
    """Every event since the boot: the command begins when its database is complete."""
    out = host.sh("udevadm info --export-db; ls /run/udev/data", "--udev")
    assert "\nc10:61\n" in out
    records = {record.partition("\n")[0]: record for record in out.split("\n\n")}
    assert "E: DEVTYPE=ap_queue" in records["P: /devices/ap/card05/05.0004"]
    assert "E: DRIVER=cex4card" in records["P: /devices/ap/card05"]


def test_udevadm_monitor_sees_what_a_mask_change_does(host):
    """As the kernel sends them and as udevd passes them on, in order; SEQNUMs rise."""
    out = host.sh(
        "udevadm monitor --property > /run/events & sleep 0.5; /bin/echo -5 > /sys/bus/ap/apmask;"
        "udevadm settle; sleep 0.5; kill %1; cat /run/events",
        "--udev",
    )
    events = [event.splitlines() for event in out.split("\n\n") if event.startswith(("KERNEL[", "UDEV "))]
    # Real devices of this computer may send some too.
    events = [event for event in events if " /devices/ap" in event[0]]
    kernel = [event for event in events if event[0].startswith("KERNEL")]
    actions = [event[0].split()[1:3] for event in kernel]
    assert actions[:2] == [["unbind", "/devices/ap/card05/05.0004"], ["bind", "/devices/ap/card05/05.0004"]]
    assert actions[-1] == ["change", "/devices/ap"]
    assert f"APMASK=0xfb{'f' * 62}" in kernel[-1]
    assert "DRIVER=vfio_ap" in kernel[1]
    numbers = [int(line.partition("=")[2]) for event in kernel for line in event if line.startswith("SEQNUM=")]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == len(kernel) == len(events) - len(kernel)


def test_a_rule_runs_a_program(host):
    """With the event's variables, once udevd has read the rule."""
    rule = 'SUBSYSTEM=="ap", ENV{DEVTYPE}=="ap_queue", ACTION=="unbind", RUN+="/bin/sh -c \\"echo %k >> /run/seen\\""'
    out = host.sh(
        f"printf '%s\\n' '{rule}' > /etc/udev/rules.d/99-test.rules; udevadm control --reload;"
        "/bin/echo 06.00ff > /sys/bus/ap/drivers/cex4queue/unbind; udevadm settle; cat /run/seen",
        "--udev",
    )
    assert out == "06.00ff\n"


def test_trigger_makes_the_kernel_send_events_again(host):
    out = host.sh(
        "udevadm monitor --kernel > /run/events & sleep 0.5; udevadm trigger --subsystem-match=ap --action=change;"
        "udevadm settle; sleep 0.5; kill %1; cat /run/events",
        "--udev",
    )
    assert "change   /devices/ap/card06/06.00ff (ap)" in out


def test_driverctl(host):
    """7.2 has driver_override; it is accepted while both masks are all ones, and lasts."""
    need("driverctl", "driverctl")
    out = host.sh(
        "driverctl -b ap --nosave set-override 05.0004 vfio_ap; cat /sys/bus/ap/devices/05.0004/driver_override;"
        "driverctl -b ap list-devices; driverctl -b ap --nosave unset-override 05.0004;"
        "basename $(readlink /sys/bus/ap/devices/05.0004/driver)",
        "--udev",
    )
    lines = out.splitlines()
    assert lines[0] == "vfio_ap"
    assert "05.0004 vfio_ap [*]" in lines
    assert any(line.startswith("05.0047 cex4queue") for line in lines)
    assert lines[-1] == "cex4queue"


def test_driverctl_is_refused_while_masks_are_in_use(host):
    """BUS-60: masks and overrides exclude each other. driverctl says so, and exits with 0."""
    need("driverctl", "driverctl")
    host.file = THREE
    done = host.run("/bin/echo +9,-9 > /sys/bus/ap/apmask; driverctl -b ap --nosave set-override 05.0004 vfio_ap")
    assert "write error: Invalid argument" in done.stderr
