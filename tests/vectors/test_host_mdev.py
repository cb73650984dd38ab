"""Vectors V108 to V113, V120 and V161, V162: the life of an mdev (host.md 8.9, 8.11)."""

import pytest

from apmatrix.arch import Matrix
from apmatrix.linux import Refused
from apmatrix.linux.core import Task
from support.host import TYPE, U1, U2, Mdev

ATTRIBUTES = (
    "assign_adapter", "assign_domain", "assign_control_domain", "unassign_adapter", "unassign_domain",
    "unassign_control_domain", "matrix", "guest_matrix", "control_domains", "ap_config", "remove",
)  # fmt: skip


def test_V108_upper_case(h1_host):
    assert h1_host.write(f"{TYPE}/create", U1.upper() + "\n") == "ok"
    assert U1 in h1_host.sysfs.list("devices/vfio_ap/matrix")
    assert h1_host.sysfs.list("bus/mdev/devices") == [U1]
    assert h1_host.sysfs.realpath(f"bus/mdev/devices/{U1}") == f"devices/vfio_ap/matrix/{U1}"


@pytest.mark.parametrize("again", [U1, U1.upper() + "\n"])
def test_V109_twice(h1_host, again):
    h1_host.create(U1)
    assert h1_host.write(f"{TYPE}/create", again) == "EEXIST"
    assert h1_host.read(f"{TYPE}/available_instances") == "65535\n"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (U1[:35], "EINVAL"),
        (U1 + "\n\n", "EINVAL"),
        (U1.replace("6", "g", 1), "EINVAL"),
        (U1.replace("-", "0", 1), "EINVAL"),
        (U1, "ok"),
        (U1 + "\n", "ok"),
        (U1 + "x", "ok"),
    ],
    ids=[f"V110-{index}" for index in range(7)],
)
def test_the_uuid(h1_host, text, answer):
    assert h1_host.write(f"{TYPE}/create", text) == answer
    assert (U1 in h1_host.sysfs.list("devices/vfio_ap/matrix")) == (answer == "ok")


@pytest.mark.parametrize("text", ["0", "0\n", "00"])
def test_V111_removing_with_0_does_nothing(hx, text):
    assert hx.mdevs[0].write("remove", text) == "ok"
    assert hx.mdevs[0].matrix.startswith("05.0004")


@pytest.mark.parametrize("text", ["x", "\n", "18446744073709551616", "-1", "1x"])
def test_V111_what_is_no_number_is_invalid(hx, text):
    assert hx.mdevs[0].write("remove", text) == "EINVAL"
    assert hx.mdevs[0].matrix.startswith("05.0004")


def test_V111_removing(hx):
    hx.host.witness.seen.clear()
    assert hx.mdevs[0].write("remove", "1") == "ok"
    assert U1 not in hx.host.sysfs.list("devices/vfio_ap/matrix")
    assert U1 not in hx.host.sysfs.list("bus/mdev/devices")
    assert hx.host.status("05.0004") == "unassigned\n"
    assert hx.host.on("vfio_ap") == hx.host.queues()
    assert hx.host.witness.zeroized() == {"05.0004", "05.00ab", "06.0004", "06.00ab"}
    assert hx.host.read(f"{TYPE}/available_instances") == "65534\n"
    assert hx.mdevs[1].write("assign_domain", "4") == "ok"


@pytest.fixture
def removing(hx):
    """V112: a removal that waits for the guest."""
    hx.guest = hx.mdevs[0].start()
    hx.changes = hx.guest.changes
    hx.writer = hx.host.background(lambda: hx.mdevs[0].write("remove", "1"))
    yield hx
    hx.guest.stop()
    hx.writer.finish()


def test_V112_removal_waits_for_the_guest_and_cuts_it_off(removing):
    assert removing.writer.blocked
    assert removing.guest.level.matrix == Matrix()
    assert removing.guest.changes == removing.changes + 1
    removing.guest.stop()
    assert removing.writer.finish() == "ok"
    assert U1 not in removing.host.sysfs.list("devices/vfio_ap/matrix")
    assert removing.host.status("05.0004") == "unassigned\n"


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_V113_the_attributes_are_gone_meanwhile(removing, attribute):
    assert attribute not in removing.host.sysfs.list(removing.mdevs[0].path)
    assert removing.mdevs[0].read(attribute) == "ENOENT"
    assert removing.mdevs[0].write(attribute, "1") == "ENOENT"


def test_V113_the_queues_are_in_use_and_the_device_is_off_the_bus(removing):
    assert removing.host.status("05.0004") == "in use\n"
    assert U1 not in removing.host.sysfs.list("bus/mdev/devices")
    assert removing.host.read(f"{TYPE}/available_instances") == "65533\n"


def test_V161_what_the_waiting_mdev_still_holds(removing):
    host = removing.host
    assert host.write(f"{TYPE}/create", U1) == "EEXIST"
    assert Mdev(host, U2).write("assign_domain", "4") == "EADDRINUSE"
    assert host.apmask("+5") == "EBUSY"
    assert host.unbind("vfio_ap", "05.0004") == "ok"
    assert host.bind("vfio_ap", "05.0004") == "ok"
    assert len(removing.guest.level.matrix) == 4


def test_V162_without_a_request_fd_a_killed_writer_waits_on(hx):
    host = hx.host
    guest = hx.mdevs[0].start(request_fd=False)
    task = Task("mdevctl", 4711)
    host.log()
    writer = host.background(lambda: host.sysfs.write(f"{hx.mdevs[0].path}/remove", b"1", task))
    assert any("No device request registered, blocked until released by user" in line for line in host.log())
    waits = host.clock.waits
    host.system.kernel.signal(task)
    host.clock.until_waits(waits + 1)
    [line] = host.log()
    assert "Device is currently in use, task " in line
    assert "mdevctl" in line
    assert "4711" in line
    assert writer.blocked
    guest.stop()
    assert writer.finish() == 1
    assert U1 not in host.sysfs.list("bus/mdev/devices")


def test_VFIO_20_the_guest_is_asked_every_ten_seconds(removing):
    host, guest = removing.host, removing.guest
    assert guest.request.count == 1
    for count in (2, 3):
        waits = host.clock.waits
        host.clock.advance(10)
        host.clock.until_waits(waits + 1)
        assert guest.request.count == count
        assert guest.changes == removing.changes + count
    assert len([line for line in host.log() if "Relaying device request to user (#0)" in line]) == 1


def test_V120_what_the_parent_tells(h1_host):
    assert h1_host.read("devices/vfio_ap/matrix/features") == "guest_matrix hotplug ap_config\n"
    assert h1_host.read(f"{TYPE}/name") == "VFIO AP Passthrough Device\n"
    assert h1_host.read(f"{TYPE}/device_api") == "vfio-ap\n"
    assert h1_host.read(f"{TYPE}/description") == "ENOENT"
    assert h1_host.read(f"{TYPE}/available_instances") == "65536\n"


def test_MTX_13_an_mdev_that_is_unbound_gives_up_its_queues(hx):
    host, mdev = hx.host, hx.mdevs[0]
    driver = "bus/mdev/drivers/vfio_ap_mdev"
    host.witness.seen.clear()
    assert host.write(f"{driver}/unbind", U1) == "ok"
    assert host.witness.zeroized() == {"05.0004", "05.00ab", "06.0004", "06.00ab"}
    assert host.status("05.0004") == "unassigned\n"
    assert mdev.read("matrix") == "ENOENT"
    assert host.read(f"{TYPE}/available_instances") == "65533\n"
    assert hx.mdevs[1].write("assign_domain", "4") == "ok"
    with pytest.raises(Refused, match=U1):
        host.system.vmm.start(U1)
    assert host.write(f"{driver}/bind", U1) == "ENODEV"  # MTX-14
    assert mdev.write("remove", "1") == "ok"
    assert host.read(f"{TYPE}/available_instances") == "65534\n"


def test_MTX_13_unbinding_waits_for_the_guest_too(hx):
    guest = hx.mdevs[0].start()
    writer = hx.host.background(lambda: hx.host.write("bus/mdev/drivers/vfio_ap_mdev/unbind", U1))
    assert guest.level.matrix == Matrix()
    guest.stop()
    assert writer.finish() == "ok"
    assert hx.host.status("05.0004") == "unassigned\n"
