"""Vectors V134 to V159: further behaviour met on a real kernel (host.md 8.11)."""

import pytest

from apmatrix.arch import ALL_BITS, CardFunctions, Mask, Matrix, ResponseCode
from apmatrix.cards import AdapterState, Answer, QueueFunction
from support.host import FEATURES, U2, USAGE, h1


def without(*numbers):
    return f"{ALL_BITS - Mask.of(*numbers)}\n"


@pytest.mark.parametrize(
    ("text", "off"),
    [("-5\n-6\n", (5, 6)), ("-5,\n", (5,)), ("-5-5-5\n", (5,)), ("-0X5\n", (5,)), ("-5\x00zz", (5,))],
    ids=[f"V134-{index}" for index in range(5)],
)
def test_more_accepted_masks(h0_host, text, off):
    assert h0_host.apmask(text) == "ok"
    assert h0_host.bus("apmask") == without(*off)


@pytest.mark.parametrize(
    "text", ["--5\n", "-+5\n", "-5x\n", "-5;-6\n", "-0xfff\n"], ids=[f"V135-{index}" for index in range(5)]
)
def test_more_refused_masks(h0_host, text):
    assert h0_host.apmask(text) == "EINVAL"
    assert h0_host.bus("apmask") == without()


def test_V136_an_absolute_mask_that_sets_an_assigned_adapter(h1_host):
    h1_host.create().assigned((5,), (4,))
    before = h1_host.masks()
    assert h1_host.apmask("0x04") == "EBUSY"
    assert h1_host.masks() == before
    assert h1_host.apmask("0x01") == "ok"
    assert h1_host.bus("apmask") == "0x01" + "0" * 62 + "\n"


@pytest.mark.parametrize(
    ("path", "text", "answer", "content"),
    [
        ("bus/ap/config_time", "+30", "EINVAL", "30\n"),
        ("bus/ap/ap_domain", "+4", "EINVAL", "4\n"),
        ("devices/ap/card05/online", "+1", "EINVAL", "1\n"),
        ("bus/ap/ap_domain", " 0x4", "ok", "4\n"),
        ("bus/ap/ap_domain", "08", "ok", "0\n"),
        ("bus/ap/ap_domain", "5x", "ok", "5\n"),
        ("bus/ap/ap_domain", "-1", "EINVAL", "4\n"),
        ("bus/ap/ap_domain", "256", "EINVAL", "4\n"),
        ("bus/ap/ap_domain", "", "ok", "4\n"),
    ],
    ids=[f"V137-{index}" for index in range(9)],
)
def test_scanned_numbers(h0_host, path, text, answer, content):
    assert h0_host.read("bus/ap/ap_domain") == "4\n"
    assert h0_host.write(path, text) == answer
    assert h0_host.read(path) == content


@pytest.mark.parametrize(
    ("text", "answer", "content"),
    [
        ("e", "ok", "1\n"), ("D", "ok", "0\n"), ("oN", "ok", "1\n"),
        ("2", "EINVAL", None), (" 1", "EINVAL", None), ("oX", "EINVAL", None),
    ],
    ids=[f"V138-{index}" for index in range(6)],
)  # fmt: skip
def test_booleans(h0_host, text, answer, content):
    for before in ("1", "0"):
        assert h0_host.write("bus/ap/poll_thread", before) == "ok"
        assert h0_host.write("bus/ap/poll_thread", text) == answer
        assert h0_host.bus("poll_thread") == (before + "\n" if content is None else content)


@pytest.fixture
def unbound(h0_host):
    assert h0_host.unbind("cex4queue", "05.0004") == "ok"
    return h0_host


def test_V139_an_unbound_queue_of_the_host_stays_unbound(unbound):
    assert (unbound.apmask("-9"), unbound.apmask("+9")) == ("ok", "ok")
    unbound.scan()
    assert unbound.driver("05.0004") == "-"
    assert unbound.bus("bindings") == "7/8\n"


def test_V140_until_it_is_given_away(unbound):
    assert unbound.apmask("-5") == "ok"
    assert unbound.driver("05.0004") == "vfio_ap"
    assert unbound.apmask("+5") == "ok"
    assert unbound.driver("05.0004") == "cex4queue"


def test_V141_without_vfio_ap_they_do_not_come_back(make_host):
    host = make_host(vfio_ap=False)
    for text in ("-5", "+5"):
        assert host.apmask(text) == "ok"
        assert len(host.on("-")) == 4
        assert host.bus("bindings") == "4/8\n"
    assert {host.driver(name) for name in host.queues() if name.startswith("05")} == {"-"}


def test_V142_drivers_probe(h0_host):
    assert h0_host.probe("05.0004") == "ok"
    assert h0_host.driver("05.0004") == "cex4queue"
    assert h0_host.override("05.0004", "nonsense") == "ok"
    assert h0_host.unbind("cex4queue", "05.0004") == "ok"
    assert h0_host.probe("05.0004\n") == "ok"
    assert h0_host.driver("05.0004") == "-"
    assert h0_host.probe("05.0010") == "ENODEV"


@pytest.mark.parametrize(
    ("text", "answer", "content"),
    [
        ("a\nb\n", "ok", "a\n"),
        ("x y", "ok", "x y\n"),
        ("\nabc", "ok", "\n"),
        ("n" * 4094, "ok", None),
        ("n" * 4095, "EINVAL", "before\n"),
    ],
    ids=[f"V143-{index}" for index in range(5)],
)
def test_overrides(h0_host, text, answer, content):
    assert h0_host.override("05.0004", "before") == "ok"
    assert h0_host.override("05.0004", text) == answer
    assert h0_host.attribute("05.0004", "driver_override") == (f"{text}\n" if content is None else content)


def test_V144_clearing_an_unset_override(h1_host):
    assert h1_host.override("05.0004", "\n") == "EINVAL"


def test_V145_the_blocked_masks_stay_blocked(h0_host):
    assert h0_host.override("06.0004", "vfio_ap") == "ok"
    h0_host.set_profile(adapters=Mask.of(5))
    h0_host.set_profile(adapters=Mask.of(5, 6))
    assert h0_host.attribute("06.0004", "driver_override") == "\n"
    assert h0_host.override("06.0004", "vfio_ap") == "ok"
    assert h0_host.override("06.0004", "\n") == "ok"
    assert h0_host.apmask("-5") == "EINVAL"


def test_V146_clearing_an_override_under_a_guest(h0_host):
    h0_host.override("05.0004", "vfio_ap")
    h0_host.unbind("cex4queue", "05.0004")
    assert h0_host.bind("vfio_ap", "05.0004") == "ok"
    mdev = h0_host.create().assigned((5,), (4,))
    guest = mdev.start()
    assert h0_host.override("05.0004", "\n") == "ok"
    assert h0_host.driver("05.0004") == "vfio_ap"
    assert mdev.write("assign_domain", "0x47") == "EADDRNOTAVAIL"
    assert guest.level.matrix.apm == Mask.of(5)
    assert h0_host.apmask("-9") == "ok"
    assert h0_host.driver("05.0004") == "cex4queue"
    assert (mdev.matrix, mdev.guest_matrix) == ("05.0004", ".0004")
    assert guest.level.matrix == Matrix(aqm=Mask.of(4))


def test_V147_boot_masks_are_not_in_use(make_host):
    host = make_host(apmask="0xffff", aqmask="0x40")
    assert host.override("05.0004", "vfio_ap") == "ok"
    assert host.apmask("-5") == "EINVAL"
    assert host.override("05.0004", "\n") == "ok"
    assert host.apmask(host.bus("apmask")) == "ok"
    assert host.override("05.0004", "vfio_ap") == "ok"
    assert host.override("05.0004", "\n") == "ok"
    assert host.apmask("-9") == "ok"
    assert host.override("05.0004", "vfio_ap") == "EINVAL"


def shown(host, name):
    return tuple(host.attribute(name, attribute).rstrip("\n") for attribute in ("config", "chkstop"))


def test_V148_one_step_per_scan(h0_host):
    h0_host.set_state(5, AdapterState.DECONFIGURED)
    h0_host.scan()
    assert {shown(h0_host, name) for name in ("card05", "05.0004", "05.00ff")} == {("0", "0")}
    h0_host.set_state(5, AdapterState.CHECKSTOPPED)
    h0_host.scan()
    assert shown(h0_host, "card05") == ("1", "1")
    assert {shown(h0_host, name) for name in ("05.0004", "05.0047", "05.00ab", "05.00ff")} == {("0", "1")}
    h0_host.scan()
    assert {shown(h0_host, name) for name in ("card05", "05.0004", "05.00ff")} == {("1", "1")}
    assert shown(h0_host, "06.0004") == ("1", "0")


@pytest.mark.parametrize(
    ("answer", "bindings"),
    [
        (Answer(ResponseCode.NOT_AVAILABLE), "7/7 (complete)\n"),
        (Answer(ResponseCode.QUEUE_FULL), "7/7 (complete)\n"),
        (Answer(ResponseCode.QUEUE_FULL, async_error=True), "8/8 (complete)\n"),
        (Answer(ResponseCode.BUSY), "8/8 (complete)\n"),
    ],
    ids=["V149-01", "V149-10", "V149-async", "V149-05"],
)
def test_what_tapq_must_answer_for_a_queue(h0_host, answer, bindings):
    stop = h0_host.answer(QueueFunction.TAPQ, [answer], "05.0004", forever=True)
    h0_host.scan()
    stop()
    assert h0_host.bus("bindings") == bindings
    assert ("05.0004" in h0_host.queues()) == (bindings[0] == "8")


@pytest.mark.parametrize(
    "options",
    [{"hardware_type": 9}, {"hardware_type": 15}],
    ids=["V150-type-9", "V150-type-15"],
)
def test_types_that_linux_does_not_know(make_host, options):
    host = make_host(card_options={5: options})
    assert [name for name in host.devices() if "05" in name] == []
    assert len(host.queues()) == 4


def test_V150_a_newer_type_that_is_compatible(make_host):
    host = make_host(card_options={5: {"hardware_type": 15, "compatible_type": 14}})
    assert host.attribute("card05", "hwtype") == "14\n"
    assert host.attribute("card05", "raw_hwtype") == "15\n"
    assert len(host.on("cex4queue")) == 8


def test_V150_no_mode_bit(make_host):
    host = make_host(card_options={5: {"functions": CardFunctions(0x82000000)}})
    assert host.driver("card05") == "-"
    assert {host.driver(name) for name in host.queues() if name.startswith("05")} == {"-"}
    assert host.attribute("card05", "type") == "ENOENT"
    assert host.bus("bindings") == "4/8\n"


def test_V151_depth_and_message_size_are_not_looked_at(h0_host):
    before = [h0_host.attribute("card05", name) for name in ("depth", "max_msg_size")]
    assert before == ["8\n", "12288\n"]
    h0_host.news()
    adapter = h0_host.machine.adapters[5]
    adapter.depth, adapter.message_limit = 4, 1
    h0_host.scan()
    assert [h0_host.attribute("card05", name) for name in ("depth", "max_msg_size")] == before
    assert h0_host.news() == []


def test_V152_limits_are_fixed_at_boot_and_at_creation(h1_host):
    old = h1_host.create()
    h1_host.machine.set_features(["APSC"])
    h1_host.scan()
    assert (h1_host.bus("ap_max_adapter_id"), h1_host.bus("ap_max_domain_id")) == ("63\n", "255\n")
    new = h1_host.create(U2)
    assert [mdev.write("assign_domain", "16") for mdev in (old, new)] == ["ok", "ENODEV"]


def test_V152_limits_that_grow(make_host):
    host = make_host(h1, max_domain=84, matrix=Matrix(Mask.of(5, 6), Mask.of(4), Mask.of(4)))
    old = host.create()
    host.machine.max_domain = 255
    host.machine.set_features(FEATURES)
    host.scan()
    assert host.bus("ap_max_domain_id") == "84\n"
    new = host.create(U2)
    assert [mdev.write("assign_domain", "85") for mdev in (old, new)] == ["ENODEV", "ok"]


def test_V152_an_unknown_feature(h1_host, monkeypatch):
    block = h1_host.machine.qci(h1_host.lpar.level).replace(flags=0x08000000)
    monkeypatch.setattr(h1_host.machine, "qci", lambda level: block)
    h1_host.scan()
    assert h1_host.bus("features") == ""


def test_V153_an_adapter_beyond_the_highest(make_host):
    host = make_host(matrix=Matrix(Mask.of(5, 6), USAGE, USAGE))
    host.machine.max_adapter = 255
    host.plug(70, "CEX5C")
    host.set_profile(adapters=Mask.of(5, 6, 70))
    assert host.bus("ap_adapter_mask") == f"{Mask.of(5, 6, 70)}\n"
    assert "card46" not in host.devices()
    assert host.bus("ap_max_adapter_id") == "63\n"


def test_V154_no_adapter_left(h0_host):
    h0_host.set_profile(adapters=Mask())
    assert h0_host.bus("bindings") == "0/0 (complete)\n"
    assert h0_host.bus("ap_adapter_mask") == f"{Mask()}\n"
    assert h0_host.devices() == []


def test_V155_which_writes_a_guest_hears_of(mdev):
    guest = mdev.start()
    writes = [
        ("assign_adapter", "5", 1),
        ("assign_domain", "4", 1),
        ("assign_domain", "4", 0),
        ("assign_domain", "0x10", 0),
        ("assign_control_domain", "4", 1),
        ("assign_control_domain", "3", 0),
    ]
    for attribute, text, events in [*writes, ("ap_config", None, 0)]:
        before = guest.changes
        assert mdev.write(attribute, mdev.read(attribute) if text is None else text) == "ok"
        assert (attribute, text, guest.changes - before) == (attribute, text, events)


def test_V156_domains_leave_the_host_and_return(mdev):
    mdev.assigned((5, 6), (4, "0x47"))
    for domain in ("4", "0x47"):
        assert mdev.write("assign_control_domain", domain) == "ok"
    guest = mdev.start()
    matrix, full = mdev.matrix, guest.level.matrix
    assert full == Matrix(Mask.of(5, 6), Mask.of(4, 0x47), Mask.of(4, 0x47))
    host = mdev.host
    gone = Mask.of(0x47)
    for usage, expected in ((USAGE - gone, Matrix(Mask.of(5, 6), Mask.of(4), Mask.of(4))), (USAGE, full)):
        before = guest.changes
        host.set_profile(usage=usage, control=usage)
        assert guest.level.matrix == expected
        assert guest.changes == before + 1
        assert (mdev.matrix, mdev.control_domains) == (matrix, "0004|0047")


def test_V158_a_queue_that_goes_and_comes(mdev):
    mdev.assigned((5,), (4,))
    guest = mdev.start()
    host = mdev.host
    stop = host.answer(QueueFunction.TAPQ, [ResponseCode.NOT_AVAILABLE], "05.0004", forever=True)
    host.scan()
    assert guest.level.matrix == Matrix(aqm=Mask.of(4))
    stop()
    host.witness.seen.clear()
    host.scan()
    assert guest.level.matrix == Matrix(Mask.of(5), Mask.of(4))
    assert host.driver("05.0004") == "vfio_ap"
    assert host.witness.count(QueueFunction.RAPQ, "05.0004") >= 1
