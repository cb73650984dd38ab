"""What uevents carry and in which order, and those that user space asks for."""

import pytest

UUID = "62177883-f1bb-47f0-914d-32a22e3a8804"
KOBJECTS = {
    "bus/ap": "bus",
    "bus/ap/drivers/cex4queue": "drivers",
    "devices/ap": "ap",
    "devices/ap/card05": "ap",
    "devices/ap/card05/05.0004": "ap",
}


@pytest.mark.parametrize(("path", "subsystem"), KOBJECTS.items())
@pytest.mark.parametrize("ending", ["", "\n", "\0"])
def test_events_on_request(host, path, subsystem, ending):
    assert host.write(f"{path}/uevent", f"offline{ending}") == "ok"
    [event] = host.news()
    assert (event.action, event.devpath, event.subsystem) == ("offline", f"/{path}", subsystem)
    assert event.env["SYNTH_UUID"] == "0"


@pytest.mark.parametrize("path", KOBJECTS)
def test_a_request_may_bring_arguments(host, path):
    assert host.write(f"{path}/uevent", f"change {UUID.upper()} A=1 long=x2\n") == "ok"
    [event] = host.news()
    assert list(event.env.items())[:3] == [
        ("SYNTH_UUID", UUID.upper()), ("SYNTH_ARG_A", "1"), ("SYNTH_ARG_long", "x2")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "nonsense", "\n", "addx", "ADD", " add", "add\n\n", "add ", "add 5", "change\0z\n", f"add  {UUID}",
        f"add {UUID} ", f"add {UUID} A", f"add {UUID} A=", f"add {UUID} =1", f"add {UUID} a.b=1", f"add {UUID}  A=1",
        f"add {UUID[:-1]}", f"add {UUID}0", f"add {UUID}\n\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", KOBJECTS)
def test_requests_that_are_refused(host, path, text):
    host.log()
    assert host.write(f"{path}/uevent", text) == "EINVAL"
    assert host.news() == []
    assert host.log()[0].startswith(f"synth uevent: /{path}: ")


@pytest.mark.parametrize(
    ("path", "device"),
    [("devices/ap", "ap ap"), ("devices/ap/card05", "cex4card card05"), ("devices/ap/card05/05.0004", "ap 05.0004")],
)
@pytest.mark.parametrize(
    ("text", "reason"),
    [("dance\n", "unknown uevent action string"), ("add 5\n", "incorrect uevent action arguments")],
)
def test_the_log_says_what_is_wrong_with_a_request(host, path, device, text, reason):
    assert host.unbind("cex4queue", "05.0004") == "ok"
    host.log()
    assert host.write(f"{path}/uevent", text) == "EINVAL"
    assert host.log() == [
        f"synth uevent: /{path}: {reason}",
        f"{device}: uevent: failed to send synthetic uevent: -22",
    ]


def test_what_the_root_device_says_of_itself(host):
    assert host.read("devices/ap/uevent") == ""
    assert "subsystem" not in host.sysfs.list("devices/ap")


def test_BUS_80_what_happened_comes_before_what_the_device_is(host):
    assert host.write("devices/ap/card05/online", "0") == "ok"
    event = host.news()[0]
    assert event.lines()[:-1] == [
        "ACTION=change", "DEVPATH=/devices/ap/card05", "SUBSYSTEM=ap", "ONLINE=0", "DEVTYPE=ap_card",
        "DRIVER=cex4card", "DEV_TYPE=000B", "MODALIAS=ap:t0B", "MODE=cca",
    ]  # fmt: skip


def test_the_queues_of_a_card_follow_in_the_order_of_their_binding(host):
    assert host.unbind("cex4queue", "05.0004") == host.bind("cex4queue", "05.0004") == "ok"
    host.news()
    assert host.write("devices/ap/card05/online", "0") == "ok"
    devices = [event.devpath.rpartition("/")[2] for event in host.news()]
    assert devices == ["card05", "05.0047", "05.00ab", "05.00ff", "05.0004"]


def test_an_unbound_card_names_no_alias(host):
    assert host.unbind("cex4card", "card05") == "ok"
    [event] = host.news()
    assert event.action == "unbind"
    assert dict(event.env) == {"DEVTYPE": "ap_card", "DEV_TYPE": "000B", "MODE": "cca"}
    assert "MODALIAS=ap:t0B\n" in host.attribute("card05", "uevent")
