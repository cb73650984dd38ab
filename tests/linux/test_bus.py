"""Scans, timers, bindings and uevents of the AP bus (host.md 1.5 to 1.8 and section 4)."""

from __future__ import annotations

import errno

import pytest

from apmatrix.arch import Apqn, CardFunctions, Facility, Mask, Matrix, ResponseCode
from apmatrix.cards import QueueFunction
from apmatrix.linux.ap.message import ApMessage
from apmatrix.linux.core import Task
from apmatrix.machine import Port
from support.host import H0_MATRIX, U1, USAGE, Background, Host
from support.queues import Stepper


def variables(host, name):
    """The values that the bus announced for a variable since the last look."""
    return [event.env[name] for event in host.news() if name in event.env]


def leave(host, *adapters):
    """The host keeps these adapters only; no scan yet."""
    host.machine.set_profile("lpar", Matrix(Mask.of(*adapters), H0_MATRIX.aqm, H0_MATRIX.adm))


# when the bus scans


def test_BUS_70_the_timer_scans_every_config_time_seconds(host):
    leave(host, 5)
    host.clock.advance(28)
    assert "card06" in host.devices()
    host.clock.advance(2)
    assert "card06" not in host.devices()
    assert host.bus("scans") == "2\n"
    host.clock.advance(90)
    assert host.bus("scans") == "5\n"


def test_BUS_10_config_time_rearms_the_timer_at_once(host):
    host.clock.advance(20)
    assert host.write("bus/ap/config_time", "5") == "ok"
    leave(host, 5)
    host.clock.advance(4.9)
    assert host.bus("scans") == "1\n"
    host.clock.advance(0.2)
    assert host.bus("scans") == "2\n"
    assert "card06" not in host.devices()


@pytest.mark.parametrize("text", ["1\n", "0", "rubbish", "\n"])
def test_BUS_10_any_write_to_scans_scans(host, text):
    leave(host, 5)
    assert host.write("bus/ap/scans", text) == "ok"
    assert host.bus("scans") == "2\n"
    assert "card06" not in host.devices()


def test_after_the_end_of_a_system_nothing_scans(host):
    host.system.shut_down()
    leave(host, 5)
    host.clock.advance(100)
    assert "card06" in host.devices()


# what a scan finds


@pytest.mark.parametrize(
    ("options", "domain"), [({}, "4\n"), ({"aqmask": "0x00000000000000000100"}, "71\n"), ({"apmask": "0x00"}, "-1\n")]
)
def test_BUS_73_the_default_domain(options, domain):
    made = Host(**options)
    assert made.bus("ap_domain") == domain
    made.close()


def test_BUS_73_it_is_chosen_once(host):
    assert host.aqmask("-4") == "ok"
    host.scan()
    assert host.bus("ap_domain") == "4\n"


def test_BUS_74_other_function_bits_make_new_devices(host):
    host.news()
    host.machine.adapters[5].functions = CardFunctions(0x93000000)
    host.scan()
    seen = [(event.action, event.devpath.rpartition("/")[2]) for event in host.news()]
    for action in ("remove", "add"):
        assert {name for each, name in seen if each == action} == {
            "card05", "05.0004", "05.0047", "05.00ab", "05.00ff",
        }  # fmt: skip
    assert host.attribute("card05", "ap_functions") == "0x93000000\n"
    assert len(host.on("cex4queue")) == 8


def test_BUS_76_a_new_domain_brings_queues(host):
    host.set_profile(usage=USAGE | Mask.of(0x10))
    assert host.driver("05.0010") == host.driver("06.0010") == "cex4queue"
    assert host.bus("bindings") == "10/10 (complete)\n"
    host.set_profile(usage=USAGE)
    assert host.bus("bindings") == "8/8 (complete)\n"


def test_BUS_75_an_all_zero_information_word_is_passed_over(host, monkeypatch):
    machine, tapq = host.machine, Port.tapq
    unknown = machine.qci(host.lpar.level) and type(machine.adapters[5].info(255))(0)

    def blind(port):
        status, info = tapq(port)
        return (status, unknown) if port.apqn == Apqn(6, 0x10) else (status, info)

    monkeypatch.setattr(Port, "tapq", blind)
    host.set_profile(usage=USAGE | Mask.of(0x10))
    assert "05.0010" in host.queues()
    assert "06.0010" not in host.queues()


# bindings and announcements


def test_BUS_80_the_first_scan_is_announced():
    made = Host()
    history = made.system.uevents.history
    named = [event for event in history if "INITSCAN" in event.env]
    assert [event.env["INITSCAN"] for event in named] == ["done"]
    complete = [event.env for event in history if "BINDINGS" in event.env]
    assert [(env["BINDINGS"], env["COMPLETECOUNT"]) for env in complete] == [("complete", "1")]
    assert [event.seqnum for event in history] == sorted({event.seqnum for event in history})
    made.close()


def test_BUS_81_complete_is_announced_once_per_arming(host):
    host.news()
    host.scan()
    assert variables(host, "COMPLETECOUNT") == []
    assert host.apmask("-5") == "ok"
    host.scan()
    assert variables(host, "COMPLETECOUNT") == ["2"]
    host.scan()
    assert variables(host, "COMPLETECOUNT") == []
    assert host.bus("bindings_complete_count") == "2\n"


def test_BUS_81_an_unbind_by_hand_announces_nothing(host):
    assert host.unbind("cex4queue", "05.0004") == "ok"
    host.news()
    host.scan()
    assert host.bus("bindings") == "7/8\n"
    assert variables(host, "COMPLETECOUNT") == []
    assert host.bind("cex4queue", "05.0004") == "ok"
    host.scan()
    assert variables(host, "COMPLETECOUNT") == ["2"]


def test_BUS_80_events_of_devices(host):
    host.news()
    host.set_profile(adapters=Mask.of(5))
    gone = [event for event in host.news() if event.action == "remove"]
    assert [event.devpath for event in gone] == [
        *(f"/devices/ap/card06/06.{domain:04x}" for domain in USAGE),
        "/devices/ap/card06",
    ]
    host.set_profile(adapters=Mask.of(5, 6))
    events = [event for event in host.news() if event.action in ("add", "bind")]
    card, bound = events[0], events[1]
    assert (card.action, card.devpath, card.subsystem) == ("add", "/devices/ap/card06", "ap")
    assert card.env == {
        "DEVTYPE": "ap_card", "DEV_TYPE": "000B", "MODALIAS": "ap:t0B", "MODE": "accel",
    }  # fmt: skip
    assert bound.env["DRIVER"] == "cex4card"
    queue = events[2]
    assert queue.env == {"DEVTYPE": "ap_queue", "MODE": "accel"}


def test_BUS_80_aqmask_is_announced_with_its_newline(host):
    host.news()
    assert host.aqmask("-4") == "ok"
    assert variables(host, "AQMASK") == ["0xf7" + "f" * 62 + "\n"]


def test_BUS_44_what_is_on_its_way_fails_when_the_queue_goes(host):
    assert host.write(f"{host.device('card05')}/request_count", "0") == "ok"  # the boot's own request
    host.machine.adapters[5].workers = Stepper()
    queue = host.system.ap.queues[Apqn(5, 4)]
    ended = []
    message = ApMessage(b"request", lambda each: ended.append(each.rc))
    with host.system.kernel:
        queue.send(message)
    assert host.attribute("05.0004", "request_count") == "1\n"
    assert host.attribute("card05", "request_count") == "1\n"
    assert ended == []
    host.witness.seen.clear()
    assert host.apmask("-5") == "ok"
    assert ended == [-errno.EAGAIN]
    assert host.witness.count(QueueFunction.ZAPQ, "05.0004") >= 1
    assert host.machine.port(host.lpar.level, Apqn(5, 4)).tapq()[0].empty


def test_BUS_45_autoprobe_off_leaves_new_devices_alone(host):
    assert host.write("bus/ap/drivers_autoprobe", "0") == "ok"
    host.set_profile(usage=USAGE | Mask.of(0x10))
    assert host.driver("05.0010") == "-"
    assert host.probe("05.0010") == "ok"
    assert host.driver("05.0010") == "cex4queue"


def test_DEV_1_DEV_10_request_counters(host):
    assert host.write(f"{host.device('card05')}/request_count", "0") == "ok"  # the boot's own request
    host.machine.adapters[5].workers = Stepper()
    with host.system.kernel:
        for apqn in (Apqn(5, 4), Apqn(5, 4), Apqn(5, 0x47)):
            host.system.ap.queues[apqn].send(ApMessage(b"request", lambda message: None))

    def counters():
        names = ("card05", "05.0004", "05.0047", "05.00ab", "card06")
        return [host.attribute(name, "request_count").strip() for name in names]

    assert counters() == ["3", "2", "1", "0", "0"]
    assert host.attribute("card05", "pendingq_count") == "3\n"
    assert host.attribute("05.0004", "pendingq_count") == "2\n"
    assert host.write(f"{host.device('05.0004')}/request_count", "whatever") == "ok"
    assert counters() == ["3", "0", "1", "0", "0"]
    assert host.write(f"{host.device('card05')}/request_count", "7") == "ok"
    assert counters() == ["0", "0", "0", "0", "0"]


@pytest.mark.parametrize("name", ["05.0004\nx", "05.0004\n\n", " 05.0004", "5.4", "05.00FF", ""])
def test_BUS_45_names_are_exact(host, name):
    expected = "ENODEV" if name else "ok"
    for write in (host.unbind, host.bind):
        assert write("cex4queue", name) == expected
    assert host.probe(name) == expected
    assert len(host.on("cex4queue")) == 8


# what guests notice


@pytest.fixture
def guest(host):
    """A VM with a Linux, on 05.0004 and 05.0047."""
    assert host.apmask("-5,-6") == "ok"
    host.create(U1).assigned((5,), (4, "0x47"))
    vm = host.system.vmm.start(U1)
    assert vm.linux.sysfs.list("bus/ap/devices") == ["05.0004", "05.0047", "card05"]
    return host, vm.linux


def test_KVM_22_a_hot_plug_is_seen_without_a_scan_by_hand(guest):
    host, linux = guest
    assert host.write(f"devices/vfio_ap/matrix/{U1}/assign_adapter", "6") == "ok"
    assert "06.0047" in linux.sysfs.list("bus/ap/devices")
    assert linux.sysfs.read("bus/ap/bindings") == b"4/4 (complete)\n"


def test_KVM_22_a_hot_unplug_is_seen_too(guest):
    host, linux = guest
    assert host.write(f"devices/vfio_ap/matrix/{U1}/unassign_domain", "4") == "ok"
    assert linux.sysfs.list("bus/ap/devices") == ["05.0047", "card05"]
    assert linux.sysfs.read("bus/ap/ap_usage_domain_mask") == f"{Mask.of(0x47)}\n".encode()


def updates(guest):
    """What is written into a guest's control block from now on."""
    seen, write = [], guest.level.set_matrix

    def set_matrix(matrix):
        seen.append(matrix)
        write(matrix)

    guest.level.set_matrix = set_matrix
    return seen


@pytest.mark.parametrize("kind", ["CEX4A", "CEX8C"])
@pytest.mark.parametrize("new_domain", [False, True])
def test_CFG_4_a_new_adapter_appears_in_one_step(kind, new_domain):
    host = Host(cards={5: "CEX5C", 6: kind})
    assert host.apmask("-5,-6") == "ok"
    host.set_profile(adapters=Mask.of(5), usage=Mask.of(4) if new_domain else USAGE)
    guest = host.create().assigned((5, 6), (4, "0x47")).start()
    assert guest.level.matrix.apm == Mask.of(5)
    seen, changes = updates(guest), guest.changes
    host.set_profile(adapters=Mask.of(5, 6), usage=USAGE)
    assert seen == [Matrix(Mask.of(5, 6), Mask.of(4, 0x47))]
    assert guest.changes == changes + 1
    host.close()


@pytest.mark.parametrize("usage_too", [False, True])
def test_CFG_4_new_control_domains(host, usage_too):
    assert host.apmask("-5,-6") == "ok"
    mdev = host.create().assigned((5,), (4,))
    for domain in ("4", "0x20"):
        assert mdev.write("assign_control_domain", domain) == "ok"
    guest = mdev.start()
    assert guest.level.matrix.adm == Mask.of(4)
    changes = guest.changes
    usage = USAGE | Mask.of(0x20) if usage_too else USAGE
    host.set_profile(usage=usage, control=USAGE | Mask.of(0x20))
    assert guest.level.matrix == Matrix(Mask.of(5), Mask.of(4), Mask.of(4, 0x20))
    assert guest.changes == changes + 1


def test_CFG_3_a_new_adapter_that_cannot_be_driven_filters_nothing():
    host = Host(cards={5: "CEX5C", 6: "CEX5A"}, card_options={6: {"hardware_type": 9}})
    assert host.apmask("-5,-6") == "ok"
    host.set_profile(adapters=Mask.of(5), usage=Mask.of(4))
    assert host.unbind("vfio_ap", "05.0004") == "ok"
    mdev = host.create().assigned((5, 6), (4,))
    guest = mdev.start()
    seen = updates(guest)
    host.set_profile(adapters=Mask.of(5, 6), usage=Mask.of(4, 0x47))
    assert "card06" not in host.devices()
    assert seen == []
    assert mdev.guest_matrix == ".0004"
    host.close()


def test_CFG_7_an_error_of_one_queue_unplugs_its_adapter(host):
    assert host.apmask("-5,-6") == "ok"
    mdev = host.create().assigned((5, 6), (4, "0x47"))
    mdev.start()
    stop = host.answer(QueueFunction.TAPQ, [ResponseCode.NOT_AVAILABLE], "06.0047", forever=True)
    host.scan()
    assert mdev.guest_matrix == "05.0004|05.0047"
    stop()
    host.scan()
    assert mdev.guest_matrix == "05.0004|05.0047|06.0004|06.0047"


@pytest.mark.parametrize("access", ["read", "write"])
@pytest.mark.parametrize(("name", "policy"), [("apmask", "linux"), ("aqmask", "linux"), ("masks", "protective")])
def test_BUS_10_a_signal_ends_the_wait_for_the_masks(name, policy, access):
    """A process that reads or writes them waits while another changes them, and can be killed meanwhile."""
    host, task = Host(policy=policy), Task()
    mutex = host.system.ap.attribute_mutex
    with host.system.kernel:
        mutex.acquire()
    arguments = () if access == "read" else (b"apmask=-5" if name == "masks" else b"-5",)
    waiting = Background(lambda: getattr(host.sysfs, access)(f"bus/ap/{name}", *arguments, task=task))
    host.clock.until_waits(1)
    host.system.kernel.signal(task)
    assert waiting.finish().errno == errno.EINTR
    with host.system.kernel:
        mutex.release()
    host.close()


def test_BUS_76_domains_come_and_go_in_their_order():
    host = Host()
    host.news()
    host.set_profile(usage=Mask.of(4, 0x10, 0xFF, 0xC0))
    seen = [(event.action, event.devpath.rpartition("/")[2]) for event in host.news() if "05." in event.devpath]
    assert [(action, name) for action, name in seen if action in ("add", "remove")] == [
        ("add", "05.0010"), ("remove", "05.0047"), ("remove", "05.00ab"), ("add", "05.00c0")
    ]  # fmt: skip
    host.close()


def test_nobody_sees_the_end_of_the_first_reset_of_a_queue_without_driver():
    host = Host(vfio_ap=False)
    assert host.apmask("-5") == "ok"
    host.set_profile(usage=USAGE | Mask.of(0x10))
    host.clock.advance(1)
    assert host.attribute("05.0010", "reset") == "Reset in progress.\n"
    assert host.attribute("06.0010", "reset") == "No Reset Timer set.\n"
    host.close()


def test_a_queue_that_fails_is_no_news_for_the_kernel_log():
    host = Host()
    host.log()
    host.answer(QueueFunction.RAPQ, [ResponseCode.DECONFIGURED], "05.0004")
    assert host.write("devices/ap/card05/05.0004/reset", "1") == "ok"
    assert host.attribute("05.0004", "reset") == "Reset in progress.\n"
    assert host.log() == []
    host.close()


def test_without_facility_15_cards_have_no_mode_and_no_driver():
    host = Host(facilities=(Facility.QCI, Facility.MSA3))
    assert host.apmask("-6") == "ok"
    assert host.bus("bindings") == "4/8\n"
    assert host.driver("card05") == host.driver("05.0004") == "-"
    assert host.driver("06.0004") == "vfio_ap"
    assert host.attribute("card05", "uevent") == "DEVTYPE=ap_card\nDEV_TYPE=000B\nMODALIAS=ap:t0B\n"
    assert [host.attribute("card05", name) for name in ("hwtype", "ap_functions", "type", "online")] == [
        "11\n", "0x00000000\n", "ENOENT", "ENOENT"
    ]  # fmt: skip
    host.close()
