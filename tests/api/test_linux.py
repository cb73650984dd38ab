"""Linux systems: their files, their events, and guests that come and go."""

import errno
from pathlib import Path

import pytest

import apmatrix
from apmatrix.linux.core import Uevent

UUID = "6f1f1f52-0000-4000-8000-000000000001"
MATRIX = "/sys/devices/vfio_ap/matrix"
CREATE = f"{MATRIX}/mdev_supported_types/vfio_ap-passthrough/create"


@pytest.mark.parametrize(
    "path",
    [
        "bus/ap/devices/card06/type",
        "/sys/bus/ap/devices/card06/type",
        "/bus/ap/devices/card06/type",
        b"/sys/bus/ap/devices/card06/type",
        Path("/sys/bus/ap/devices/card06/type"),
        "/sys//bus/./ap/devices/../devices/card06/type",
    ],
)
def test_a_path_can_be_written_in_several_ways(nested, path):
    sysfs = nested.lpar().sysfs
    assert sysfs.read(path) == "CEX8A"
    assert sysfs.read_bytes(path) == b"CEX8A\n"
    assert sysfs.exists(path)


def test_directories_and_links(nested):
    sysfs = nested.lpar().sysfs
    assert sysfs.listdir("/sys/bus/ap/drivers") == ["cex4card", "cex4queue", "vfio_ap"]
    assert "devices" in sysfs.listdir()
    assert sysfs.listdir("/sys") == sysfs.listdir("")
    assert sysfs.readlink("/sys/bus/ap/devices/06.0004") == "../../../devices/ap/card06/06.0004"
    assert not sysfs.exists("/sys/bus/ap/devices/06.00ff")
    assert not sysfs.exists("/sys/bus/ap/apmask/x")
    assert not sysfs.exists("/systematic")


@pytest.mark.parametrize("data", ["-6", b"-6", "-6\n"])
def test_str_and_bytes_are_written_as_they_are(nested, data):
    sysfs = nested.lpar().sysfs
    assert sysfs.write("bus/ap/apmask", data) == len(data)
    assert sysfs.read("bus/ap/apmask").startswith("0xf9")


def test_errors_are_the_kernels_with_the_path(nested):
    sysfs = nested.lpar().sysfs
    for number, kind, call in (
        (errno.ENOENT, FileNotFoundError, lambda: sysfs.read("bus/ap/nothing")),
        (errno.EACCES, PermissionError, lambda: sysfs.write("bus/ap/features", "1")),
        (errno.EISDIR, IsADirectoryError, lambda: sysfs.read("bus/ap")),
        (errno.EINVAL, OSError, lambda: sysfs.readlink("bus/ap")),
        (errno.EINVAL, OSError, lambda: sysfs.write("bus/ap/apmask", "nonsense")),
    ):
        with pytest.raises(kind) as caught:
            call()
        assert caught.value.errno == number
        assert caught.value.filename.startswith("/sys/bus/ap")


def test_the_reason_of_a_refusal_is_within_reach(nested):
    host, late = nested.lpar(), nested.guest("late")
    with pytest.raises(OSError, match=r"queue 05\.0004 cannot be assigned") as caught:
        host.sysfs.write(f"{late.mdev}/assign_domain", "4")
    assert caught.value.errno == errno.EADDRINUSE
    refused = caught.value.__cause__
    assert isinstance(refused, apmatrix.Refused)
    assert refused.apqns == (apmatrix.Apqn(5, 4),)
    assert nested.guest("outer").uuid in str(refused.holder)
    assert refused.remedy


def test_guests_of_guests_are_systems_like_their_hosts(nested):
    inner = nested.guest("inner")
    assert inner.name == "kvm1/outer/inner"
    assert inner.host == nested.guest("outer")
    assert inner.host.host == nested.lpar()
    assert inner.host.guests == (inner,)
    assert {str(apqn): driver for apqn, driver in inner.queues.items()} == {"05.0004": "cex4queue"}
    assert inner.matrix.describe() == "adapters 5, usage domains 4, control domains none"


def test_a_guest_starts_and_stops(nested):
    late, host = nested.guest("late"), nested.lpar()
    assert (late.running, len(late.matrix), len(late.assigned)) == (False, 0, 1)
    with pytest.raises(apmatrix.NotRunning, match="kvm1/late is not running"):
        late.sysfs.read("bus/ap/apmask")
    late.start()
    assert [str(apqn) for apqn in late.queues] == ["05.0006"]
    with pytest.raises(OSError, match="VM late") as caught:
        late.start()
    assert caught.value.errno == errno.EBUSY
    late.stop()
    late.stop()
    assert not late.running
    assert late.uuid in host.sysfs.listdir(MATRIX)


def test_guests_end_with_their_host_and_come_back_with_it(nested):
    outer, inner = nested.guest("outer"), nested.guest("inner")
    outer.stop()
    assert not inner.running
    with pytest.raises(apmatrix.NotRunning, match="kvm1/outer, the host of kvm1/outer/inner, is not running"):
        inner.start()
    assert nested.guests == (outer, inner, nested.guest("late"))
    outer.start()
    assert inner.running


def test_a_reboot_makes_everything_new(nested):
    host, outer, inner = nested.lpar(), nested.guest("outer"), nested.guest("inner")
    host.sysfs.write("bus/ap/apmask", "-6")
    nested.advance(100)
    outer.sysfs.write("bus/ap/aqmask", "-5")
    assert outer.sysfs.read("bus/ap/aqmask").startswith("0xf3")
    outer.reboot()
    assert outer.sysfs.read("bus/ap/aqmask").startswith("0xf7")
    assert inner.running
    assert host.sysfs.read("bus/ap/apmask").startswith("0xf9")
    host.reboot()
    assert host.sysfs.read("bus/ap/apmask").startswith("0xfb")
    assert inner.running
    assert not nested.guest("late").running


def test_an_mdev_that_a_program_made_gets_a_vm(nested):
    host = nested.lpar()
    host.sysfs.write(CREATE, UUID)
    for attribute, number in (("adapter", "5"), ("domain", "7"), ("control_domain", "7")):
        host.sysfs.write(f"{MATRIX}/{UUID}/assign_{attribute}", number)
    pod = host.start_guest(UUID.upper(), "pod", policy="protective")
    assert pod == nested.guest("pod")
    assert pod.mdev == f"{MATRIX}/{UUID}"
    assert pod.explain("05.0007").has
    with pytest.raises(FileExistsError, match="another guest pod"):
        host.start_guest("6f1f1f52-0000-4000-8000-000000000002", "pod")
    pod.stop()
    assert host.start_guest(UUID) == pod
    host.reboot()
    assert pod not in nested.guests


def test_an_mdev_that_is_not_there_gets_none(nested):
    with pytest.raises(OSError, match=UUID) as caught:
        nested.lpar().start_guest(UUID)
    assert caught.value.errno == errno.ENODEV
    assert UUID not in [guest.names[-1] for guest in nested.guests]


def test_a_refused_guest_starts_when_its_mdev_is_there(nested):
    host, late = nested.lpar(), nested.guest("late")
    host.sysfs.write(f"{late.mdev}/remove", "1")
    with pytest.raises(OSError, match=late.uuid):
        late.start()
    host.sysfs.write(CREATE, late.uuid)
    late.start()
    assert late.refusal is None
    assert len(late.matrix) == 0


def test_explanations_follow_what_happens(nested):
    inner = nested.guest("inner")
    assert inner.explain("05.0004").has
    nested.lpar().sysfs.write(f"{nested.guest('outer').mdev}/unassign_domain", "4")
    explanation = inner.explain((5, 4))
    assert not explanation.has
    assert (explanation.reason.where, explanation.reason.subject) == ("kvm1", "assignment")


def test_a_profile_is_edited_in_part(nested):
    host = nested.lpar()
    assert host.profile.describe() == "adapters 5-8, usage domains 4-7, control domains 4-7"
    host.set_profile(usage_domains=[4, 5, 6], control_domains="0x10")
    assert host.profile.describe() == "adapters 5-8, usage domains 4-6, control domains 16"
    host.set_profile(adapters=5)
    host.scan()
    assert [str(apqn) for apqn in host.queues] == ["05.0004", "05.0005", "05.0006"]


def test_uevents_are_told_and_collected(nested):
    host, seen = nested.lpar(), list[Uevent]()
    end = host.on_uevent(seen.append)
    with host.collect_uevents() as events:
        host.sysfs.write(CREATE, UUID)
    host.sysfs.write(f"{MATRIX}/{UUID}/remove", "1")
    assert [(event.action, event.devpath) for event in events if event.subsystem == "mdev"] == [
        (action, f"/devices/vfio_ap/matrix/{UUID}") for action in ("add", "bind")
    ]
    end()
    host.scan()
    host.sysfs.write(CREATE, UUID)
    assert [event.action for event in seen if event.subsystem == "mdev"] == ["add", "bind", "unbind", "remove"]
    assert [event.seqnum for event in host.uevents] == list(range(1, len(host.uevents) + 1))
    assert host.sysfs.exists(events[0].devpath)


def test_the_log_has_the_reason(nested):
    host = nested.lpar()
    with pytest.raises(OSError, match=r"05\.000"):
        host.sysfs.write("bus/ap/apmask", "+5")
    entry = host.log[-1]
    assert "Can not reserve queue 05.000" in entry.text
    assert entry.level.name == "WARNING"


def test_modules_come_and_go(nested):
    host = nested.lpar()
    with pytest.raises(OSError, match="mdev") as caught:
        host.unload_vfio_ap()
    assert caught.value.errno == errno.EAGAIN
    for guest in reversed(nested.guests):
        guest.stop()
    host.unload_vfio_ap()
    assert not host.sysfs.exists(MATRIX)
    host.load_vfio_ap()
    assert host.sysfs.exists(MATRIX)


def test_a_removed_mdev_is_unplugged_from_its_guest(nested):
    """The kernel waits until the VM has given it back, and QEMU does so at once."""
    host, outer = nested.lpar(), nested.guest("outer")
    host.sysfs.write(f"{outer.mdev}/remove", "1")
    assert outer.uuid not in host.sysfs.listdir(MATRIX)
    assert (outer.running, len(outer.matrix), len(outer.assigned)) == (True, 0, 0)


def test_systems_are_equal_by_name_within_a_machine(nested, three):
    assert nested.lpar() == nested.lpar("kvm1")
    assert nested.lpar() != three.lpar()
    assert len({nested.guest("late"), nested.guest("late"), nested.guest("inner")}) == 2
    assert repr(nested.guest("inner")) == "<GuestLinux kvm1/outer/inner>"
