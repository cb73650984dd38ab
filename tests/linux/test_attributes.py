"""Which attributes there are, with which modes, and what they say (host.md sections 0 to 3)."""

from __future__ import annotations

import errno

import pytest

from apmatrix.arch import Apqn, Facility, Mask, Matrix, ResponseCode
from apmatrix.cards import AdapterState
from apmatrix.linux.core.sysfs import Kind
from support.host import FACILITIES, GIVE_ALL_CARDS, TYPE, U1, Host, h1

RO, RW, WO = 0o444, 0o644, 0o200

BUS = {
    "ap_adapter_mask": RO, "ap_control_domain_mask": RO, "ap_domain": RW, "ap_interrupts": RO,
    "ap_max_adapter_id": RO, "ap_max_domain_id": RO, "ap_usage_domain_mask": RO, "apmask": RW,
    "aqmask": RW, "bindings": RO, "bindings_complete_count": RO, "config_time": RW,
    "drivers_autoprobe": RW, "drivers_probe": WO, "features": RO, "poll_thread": RW, "poll_timeout": RW,
    "scans": RW, "uevent": WO,
}  # fmt: skip
CARD = {
    "ap_functions": RO, "chkstop": RO, "config": RW, "depth": RO, "hwtype": RO, "load": RO, "max_msg_size": RO,
    "modalias": RO, "online": RW, "pendingq_count": RO, "raw_hwtype": RO, "request_count": RW, "requestq_count": RO,
    "type": RO, "uevent": RW,
}  # fmt: skip
QUEUE = {
    "ap_functions": RO, "chkstop": RO, "config": RO, "driver_override": RW, "interrupt": RO, "pendingq_count": RO,
    "request_count": RW, "requestq_count": RO, "reset": RW, "uevent": RW,
}  # fmt: skip
HOST_QUEUE = {**QUEUE, "online": RW, "load": RO}
EP11 = {"API_ordinalnr": RO, "FW_version": RO, "op_modes": RO, "serialnr": RO}
MDEV = {
    "ap_config": RW, "assign_adapter": WO, "assign_control_domain": WO, "assign_domain": WO, "control_domains": RO,
    "guest_matrix": RO, "matrix": RO, "remove": WO, "uevent": RW, "unassign_adapter": WO,
    "unassign_control_domain": WO, "unassign_domain": WO,
}  # fmt: skip


@pytest.fixture
def host():
    """Adapters of all three kinds; 07 is vfio_ap's and an mdev's."""
    numbers = Mask.of(5, 6, 7)
    made = Host(cards={5: "CEX5C", 6: "CEX6A", 7: "CEX8P"}, matrix=Matrix(numbers, Mask.of(4), Mask.of(4)))
    assert made.apmask("-7") == "ok"
    made.create(U1).assigned((7,), (4,))
    yield made
    made.close()


def files(host, path):
    stats = {name: host.sysfs.stat(f"{path}/{name}") for name in host.sysfs.list(path)}
    return {name: stat.mode for name, stat in stats.items() if stat.kind is Kind.FILE}


@pytest.mark.parametrize(
    ("path", "attributes"),
    [
        pytest.param("bus/ap", BUS, id="BUS-10"),
        pytest.param("devices/ap/card05", {**CARD, "serialnr": RO}, id="DEV-1-CCA"),
        pytest.param("devices/ap/card06", CARD, id="DEV-1-accelerator"),
        pytest.param("devices/ap/card07", {**CARD, **EP11}, id="DEV-1-EP11"),
        pytest.param("devices/ap/card05/05.0004", {**HOST_QUEUE, "mkvps": RO}, id="DEV-11-CCA"),
        pytest.param("devices/ap/card06/06.0004", HOST_QUEUE, id="DEV-11-accelerator"),
        pytest.param("devices/ap/card07/07.0004", {**QUEUE, "status": RO}, id="DEV-13"),
        pytest.param("bus/ap/drivers/vfio_ap", {"bind": WO, "unbind": WO, "uevent": WO}, id="BUS-45"),
        pytest.param("devices/vfio_ap/matrix", {"features": RO, "uevent": RW}, id="MTX-2"),
        pytest.param(TYPE, {"available_instances": RO, "create": WO, "device_api": RO, "name": RO}, id="MTX-10"),
        pytest.param(f"devices/vfio_ap/matrix/{U1}", MDEV, id="MTX-20"),
    ],
)
def test_names_and_modes(host, path, attributes):
    assert files(host, path) == attributes
    for name, mode in attributes.items():
        if not mode & 0o444:
            assert host.read(f"{path}/{name}") == "EACCES"
        if not mode & 0o222:
            assert host.write(f"{path}/{name}", "1") == "EACCES"


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("bus/ap/ap_interrupts", "0\n"),
        ("bus/ap/bindings_complete_count", "1\n"),
        ("bus/ap/config_time", "30\n"),
        ("bus/ap/poll_timeout", "250000\n"),
        ("bus/ap/poll_thread", "0\n"),
        ("devices/ap/card05/hwtype", "11\n"),
        ("devices/ap/card06/hwtype", "12\n"),
        ("devices/ap/card05/raw_hwtype", "11\n"),
        ("devices/ap/card05/depth", "8\n"),
        ("devices/ap/card05/ap_functions", "0x92800000\n"),
        ("devices/ap/card06/ap_functions", "0x6A800000\n"),
        ("devices/ap/card05/modalias", "ap:t0B\n"),
        ("devices/ap/card07/modalias", "ap:t0E\n"),
        ("devices/ap/card05/max_msg_size", "12288\n"),
        ("devices/ap/card05/type", "CEX5C\n"),
        ("devices/ap/card06/type", "CEX6A\n"),
        ("devices/ap/card07/type", "CEX8P\n"),
        ("devices/ap/card05/config", "1\n"),
        ("devices/ap/card05/chkstop", "0\n"),
        ("devices/ap/card05/online", "1\n"),
        ("devices/ap/card05/request_count", "1\n"),
        ("devices/ap/card05/05.0004/ap_functions", "0x92800000\n"),
        ("devices/ap/card05/05.0004/interrupt", "Interrupts disabled.\n"),
        ("devices/ap/card05/05.0004/reset", "No Reset Timer set.\n"),
        ("devices/ap/card05/05.0004/request_count", "1\n"),
        ("devices/ap/card07/07.0004/request_count", "-\n"),
        ("devices/ap/card07/07.0004/requestq_count", "0\n"),
        ("devices/ap/card07/07.0004/pendingq_count", "0\n"),
        ("module/ap/parameters/domain", "4\n"),
        ("module/ap/parameters/apmask", "(null)\n"),
        ("module/ap/parameters/useirq", "1\n"),
        ("module/ap/parameters/poll_thread", "0\n"),
    ],
)
def test_contents(host, path, content):
    assert host.read(path) == content


def test_a_parameter_for_its_owner_only(host):
    path = "module/ap/parameters/msgpool_min_items"
    assert host.sysfs.stat(path).mode == 0o400
    assert host.read(path) == "8\n"


@pytest.mark.parametrize(
    ("given", "domain", "log"),
    [
        ({}, 4, []),
        ({"domain": 71}, 71, []),
        ({"domain": 5}, 5, []),  # no usage domain of the host
        ({"domain": -1}, 4, []),
        ({"domain": -2}, 4, ["ap: -2 is not a valid cryptographic domain"]),
        ({"domain": 256}, 4, ["ap: 256 is not a valid cryptographic domain"]),
        ({"domain": 71, "aqmask": "0x08"}, 4, ["ap: 71 is not a valid cryptographic domain"]),
        ({"domain": 4, "aqmask": "-4"}, -1, ["ap: 4 is not a valid cryptographic domain"]),
        ({"apmask": "zz"}, -1, []),
    ],
)
def test_BUS_2_the_default_domain_given_at_boot(given, domain, log):
    host = Host(vfio_ap=False, **given)
    assert host.bus("ap_domain") == host.read("module/ap/parameters/domain") == f"{domain}\n"
    assert [line for line in host.log() if "domain" in line] == log
    host.close()


@pytest.mark.parametrize("text", ["", "0x", "+5", "zz"])
def test_BUS_2_parameters_read_as_they_were_given(text):
    host = Host(apmask=text)
    assert host.read("module/ap/parameters/apmask") == f"{text}\n"
    assert host.read("module/ap/parameters/aqmask") == "(null)\n"
    host.close()


LINKS = {
    "bus/ap/devices/card05": "devices/ap/card05",
    "bus/ap/devices/07.0004": "devices/ap/card07/07.0004",
    "bus/ap/drivers/vfio_ap/07.0004": "devices/ap/card07/07.0004",
    "devices/ap/card07/07.0004/driver": "bus/ap/drivers/vfio_ap",
    "devices/ap/card07/driver": "bus/ap/drivers/cex4card",
    "devices/ap/card05/subsystem": "bus/ap",
    "bus/matrix/devices/matrix": "devices/vfio_ap/matrix",
    "class/mdev_bus/matrix": "devices/vfio_ap/matrix",
    f"bus/mdev/devices/{U1}": f"devices/vfio_ap/matrix/{U1}",
    f"devices/vfio_ap/matrix/{U1}/mdev_type": TYPE,
    f"devices/vfio_ap/matrix/{U1}/driver": "bus/mdev/drivers/vfio_ap_mdev",
    f"{TYPE}/devices/{U1}": f"devices/vfio_ap/matrix/{U1}",
}


@pytest.mark.parametrize(("path", "target"), LINKS.items())
def test_links_lead_to_what_they_name(host, path, target):
    assert host.sysfs.realpath(path) == target
    assert host.sysfs.readlink(path).startswith("../")


def test_the_group_of_an_mdev_lists_it(host):
    group = host.sysfs.realpath(f"devices/vfio_ap/matrix/{U1}/iommu_group")
    assert host.sysfs.list(f"{group}/devices") == [U1]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("bus/ap/nothing", "ENOENT"),
        ("bus/ap/apmask/below", "ENOTDIR"),
        ("bus/ap", "EISDIR"),
        ("devices/ap/card05/05.0010/config", "ENOENT"),
    ],
)
def test_paths_that_lead_nowhere(host, path, answer):
    assert host.read(path) == answer
    assert host.write(path, "1") == answer


@pytest.mark.parametrize("path", ["bus/ap/apmask", "bus/ap/config_time", f"{TYPE}/create", "bus/ap/scans"])
def test_a_write_of_nothing_never_reaches_the_attribute(host, path):
    before = host.bus("apmask"), host.bus("scans")
    assert host.write(path, "") == "ok"
    assert (host.bus("apmask"), host.bus("scans")) == before


@pytest.mark.parametrize(
    ("text", "answer", "content"),
    [
        ("5", "ok", "5\n"),
        ("120x", "ok", "120\n"),
        ("4", "EINVAL", None),
        ("121", "EINVAL", None),
        ("x", "EINVAL", None),
    ],
)
def test_BUS_10_config_time(host, text, answer, content):
    assert host.write("bus/ap/config_time", "30") == "ok"
    assert host.write("bus/ap/config_time", text) == answer
    assert host.bus("config_time") == (content or "30\n")


@pytest.mark.parametrize(
    ("text", "answer", "content"),
    [
        ("0", "ok", "0\n"), ("120000000000", "ok", "120000000000\n"), ("0x10\n", "ok", "16\n"),
        ("120000000001", "EINVAL", None), ("18446744073709551616", "ERANGE", None), (" 1", "EINVAL", None),
    ],
)  # fmt: skip
def test_BUS_10_poll_timeout(host, text, answer, content):
    assert host.write("bus/ap/poll_timeout", "250000") == "ok"
    assert host.write("bus/ap/poll_timeout", text) == answer
    assert host.bus("poll_timeout") == (content or "250000\n")


def test_BUS_10_with_interrupts():
    host = Host(facilities=(*FACILITIES, Facility.AQIC))
    assert host.bus("ap_interrupts") == "1\n"
    assert host.attribute("05.0004", "interrupt") == "Interrupts enabled.\n"
    assert host.write("bus/ap/poll_thread", "1") == "ok"
    assert host.bus("poll_thread") == "0\n"
    host.close()


@pytest.fixture
def fresh():
    made = Host()
    yield made
    made.close()


@pytest.mark.parametrize("text", ["2", "-1", "x", ""])
def test_DEV_3_DEV_12_only_0_and_1(fresh, text):
    for device in ("card05", "05.0004"):
        answer = fresh.write(f"{fresh.device(device)}/online", text)
        assert answer == ("ok" if text == "" else "EINVAL")
        assert fresh.attribute(device, "online") == "1\n"


def test_DEV_3_a_card_takes_its_queues_along(fresh):
    fresh.news()
    assert fresh.write("devices/ap/card05/online", "0") == "ok"
    shown = [fresh.attribute(name, "online") for name in ("card05", "05.0004", "05.00ff", "06.0004")]
    assert shown == ["0\n", "0\n", "0\n", "1\n"]
    events = [(event.devpath.rpartition("/")[2], event.env["ONLINE"]) for event in fresh.news()]
    assert events == [(name, "0") for name in ("card05", "05.0004", "05.0047", "05.00ab", "05.00ff")]
    assert fresh.write("devices/ap/card05/online", "0") == "ok"
    assert [event.devpath for event in fresh.news()] == ["/devices/ap/card05"]


def test_DEV_12_a_queue_of_an_offline_card_stays_offline(fresh):
    assert fresh.write("devices/ap/card05/online", "0") == "ok"
    assert fresh.write(f"{fresh.device('05.0004')}/online", "1") == "EINVAL"
    assert fresh.write("devices/ap/card05/online", "1") == "ok"
    assert fresh.write(f"{fresh.device('05.0004')}/online", "0") == "ok"
    assert [fresh.attribute(name, "online") for name in ("card05", "05.0004", "05.0047")] == ["1\n", "0\n", "1\n"]


def test_DEV_12_a_queue_that_comes_back_to_an_offline_card_is_online(fresh):
    assert fresh.write("devices/ap/card05/online", "0") == "ok"
    assert (fresh.apmask("-5"), fresh.apmask("+5")) == ("ok", "ok")
    assert [fresh.attribute(name, "online") for name in ("card05", "05.0004")] == ["0\n", "1\n"]


@pytest.mark.parametrize("text", ["2", "-1", "x", "+1"])
def test_DEV_1_config_takes_0_and_1_only(fresh, text):
    assert fresh.write("devices/ap/card05/config", text) == "EINVAL"
    assert fresh.attribute("card05", "config") == "1\n"


def test_DEV_1_config_configures_the_adapter(fresh):
    fresh.news()
    assert fresh.write("devices/ap/card05/config", "1") == "ok"
    assert [event.env["CONFIG"] for event in fresh.news()] == ["1"]  # also when nothing changes
    assert fresh.write("devices/ap/card05/config", "0") == "ok"
    assert fresh.machine.port(fresh.lpar.level, Apqn(5, 4)).tapq()[0].response_code is ResponseCode.DECONFIGURED
    assert fresh.attribute("card05", "config") == "0\n"
    assert [event.env.get("CONFIG") for event in fresh.news() if event.devpath.endswith("card05")] == ["0"]
    fresh.scan()
    assert fresh.attribute("05.0004", "config") == "0\n"
    assert fresh.write("devices/ap/card05/config", "1") == "ok"
    assert fresh.machine.port(fresh.lpar.level, Apqn(5, 4)).tapq()[0].ok


def test_DEV_1_a_guest_cannot_configure_adapters(fresh):
    assert fresh.apmask(GIVE_ALL_CARDS) == "ok"
    linux = fresh.create().assigned((5,), (4,)).start().vm.linux
    with pytest.raises(OSError) as caught:
        linux.sysfs.write("devices/ap/card05/config", b"0")
    assert caught.value.errno == errno.EOPNOTSUPP
    assert fresh.machine.port(fresh.lpar.level, Apqn(5, 4)).tapq()[0].ok


@pytest.mark.parametrize("state", [AdapterState.DECONFIGURED, AdapterState.CHECKSTOPPED])
def test_DEV_3_DEV_12_what_does_not_work_cannot_be_set_online(fresh, state):
    fresh.set_state(5, state)
    fresh.scan()
    for device in ("card05", "05.0004"):
        assert fresh.attribute(device, "online") == "0\n"
        assert fresh.write(f"{fresh.device(device)}/online", "1") == "ENODEV"
        assert fresh.write(f"{fresh.device(device)}/online", "0") == "ok"


def test_BUS_77_a_queue_that_was_moved_over_is_not_operated(fresh):
    assert fresh.apmask(GIVE_ALL_CARDS) == "ok"
    assert fresh.attribute("05.0004", "reset") == "No Reset Timer set.\n"
    fresh.witness.seen.clear()
    assert fresh.write(f"{fresh.device('05.0004')}/reset", "1") == "ok"
    fresh.clock.advance(5)
    assert fresh.attribute("05.0004", "reset") == "Reset in progress.\n"
    assert fresh.witness.seen == []


def test_BUS_77_a_queue_that_is_new_on_vfio_ap_is(fresh):
    assert fresh.apmask(GIVE_ALL_CARDS) == "ok"
    fresh.set_profile(adapters=Mask.of(5))
    fresh.set_profile(adapters=Mask.of(5, 6))
    fresh.clock.advance(5)
    assert fresh.driver("06.0004") == "vfio_ap"
    assert fresh.attribute("06.0004", "request_count") == "0\n"
    fresh.witness.seen.clear()
    assert fresh.write(f"{fresh.device('06.0004')}/reset", "1") == "ok"
    assert [function.value for function, apqn in fresh.witness.seen if str(apqn) == "06.0004"][:1] == ["rapq"]


def test_BUS_77_a_queue_that_came_deconfigured_stays_uninitiated(fresh):
    assert fresh.apmask(GIVE_ALL_CARDS) == "ok"
    fresh.set_profile(adapters=Mask.of(5))
    fresh.set_state(6, AdapterState.DECONFIGURED)
    fresh.set_profile(adapters=Mask.of(5, 6))
    fresh.set_state(6, AdapterState.ONLINE)
    fresh.scan()
    fresh.clock.advance(5)
    assert fresh.attribute("06.0004", "request_count") == "-\n"
    assert fresh.attribute("06.0004", "reset") == "Reset in progress.\n"


def test_DEV_10_live_attributes_follow_the_adapter(fresh):
    fresh.set_profile(adapters=Mask.of(5, 6))
    fresh.machine.set_profile("lpar", Matrix(Mask.of(5), Mask.of(4), Mask.of(4)))
    assert fresh.attribute("06.0004", "config") == "1\n"  # as of the last scan
    assert fresh.attribute("06.0004", "ap_functions") == "0x00000000\n"  # now


def test_MTX_1_the_matrix_driver_cannot_be_unbound_by_hand(host):
    assert host.sysfs.list("bus/matrix/drivers/vfio_ap") == ["matrix", "uevent"]


def test_MTX_40_a_matrix_of_one_side():
    host = h1()
    mdev = host.create().assigned((5, 6))
    assert (mdev.matrix, mdev.guest_matrix) == ("05.|06.", "05.|06.")
    mdev = host.create(U1[:-1] + "5").assigned((), (4, "0x10"))
    assert (mdev.matrix, mdev.guest_matrix) == (".0004|.0010", ".0004")
    host.close()
