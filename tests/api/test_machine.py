"""A machine comes up from a file, from text and from code; what is done to it happens."""

import dataclasses
import inspect
import time

import msgspec
import pytest

import apmatrix
from apmatrix import AdapterConfig, GuestConfig, HostConfig, LparConfig, Machine, MasterKeyConfig
from apmatrix.config import HostSettings, load, schema

from .conftest import EXAMPLES

TEXT = (EXAMPLES / "three-guests.toml").read_text()


def config(lpar):
    """A file's LPAR as Python objects."""

    def host(found):
        return HostConfig(apmask=found.apmask, aqmask=found.aqmask, vfio_ap=found.vfio_ap, policy=found.policy)

    def guest(found):
        matrix = {"adapters": found.adapters, "domains": found.domains, "control_domains": found.control_domains}
        guests = [guest(each) for each in found.guests]
        return GuestConfig(
            found.name, uuid=found.uuid, start=found.start, host=host(found.host), guests=guests, **matrix
        )

    return LparConfig(
        lpar.name,
        adapters=list(lpar.adapters),
        usage_domains=lpar.usage_domains.ranges(),
        control_domains=lpar.control_domains,
        host=host(lpar.host),
        guests=[guest(each) for each in lpar.guests],
    )


@pytest.mark.parametrize("example", ["three-guests", "nested"])
def test_file_text_and_code_give_the_same_machine(example):
    path = EXAMPLES / f"{example}.toml"
    file = load(path)
    adapters = [AdapterConfig(each.numbers, str(each.type), state=each.state) for each in file.adapters]
    assert file.machine.name is not None
    lpars = [config(each) for each in file.lpars]
    machines = [
        Machine.from_file(path),
        Machine.from_text(path.read_text()),
        Machine(iter(adapters), iter(lpars), name=file.machine.name),
    ]
    views = []
    for machine in machines:
        with machine:
            views.append(dataclasses.replace(machine.view(), findings=()))
    assert views[0].machine == example
    assert views[1] == views[0]
    assert views[2] == views[0]


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        (AdapterConfig, schema.AdapterFile),
        (MasterKeyConfig, schema.MasterKeyFile),
        (LparConfig, schema.LparFile),
        (GuestConfig, schema.GuestFile),
        (HostConfig, schema.HostSettings),
    ],
)
def test_objects_have_the_keys_and_defaults_of_the_file(kind, table):
    keys = {info.name: info.default for info in msgspec.structs.fields(table)}
    keys.pop("id", None)
    keys = {"functions" if name == "given_functions" else name: default for name, default in keys.items()}
    fields = {item.name: item.default for item in dataclasses.fields(kind)}
    assert fields.keys() == keys.keys()
    same = {name for name, default in fields.items() if isinstance(default, bool | int | str | None)}
    assert {name: fields[name] for name in same} == {name: keys[name] for name in same} | {
        name: fields[name] for name in same if name == "ids"
    }


def test_keyword_arguments_are_the_keys_of_machine():
    settings = {info.name: info.default for info in msgspec.structs.fields(schema.MachineSettings)}
    parameters = inspect.signature(Machine).parameters.values()
    arguments = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    for own in ("virtual_time", "allow_refused"):
        assert arguments.pop(own) is False
    assert arguments.pop("master_keys") == ()
    assert arguments.keys() == settings.keys()
    assert {name: value for name, value in arguments.items() if name != "name"} == {
        name: default for name, default in settings.items() if name != "name"
    }


def test_master_keys_from_code(tmp_path):
    parts = [tmp_path / "one", tmp_path / "other"]
    for number, path in enumerate(parts):
        path.write_bytes(bytes([number]) * 32)
        path.chmod(0o600)
    keys = [
        MasterKeyConfig("AES", adapters=3, domains="0-1", parts=parts),
        MasterKeyConfig("WK", adapters=4, domains=0, key="random"),
    ]
    adapters = [AdapterConfig(3, "CEX8C"), AdapterConfig(4, "CEX8P")]
    with Machine(adapters, [LparConfig("a", adapters="3,4", usage_domains="0-2")], master_keys=keys) as machine:
        patterns = [machine.lpar().sysfs.read(f"/sys/bus/ap/devices/03.000{domain}/mkvps") for domain in range(3)]
        assert ["AES CUR: valid" in pattern for pattern in patterns] == [True, True, False]
        assert patterns[0] == patterns[1]
        assert "WK CUR: valid" in machine.lpar().sysfs.read("/sys/bus/ap/devices/04.0000/mkvps")


def test_settings_of_the_machine_count():
    lpar = LparConfig("a", adapters=3, usage_domains="0-9")
    with Machine([AdapterConfig(3, "CEX7C")], [lpar], features=["APSC"], max_domain=20, faults="delay=1") as machine:
        assert machine.lpar().sysfs.read("bus/ap/features") == "APSC"
        assert machine.lpar().sysfs.read("bus/ap/ap_max_domain_id") == "15"
        assert [fault.words for fault in machine.faults] == ["delay=1.0"]


def test_what_makes_no_sense_is_refused_with_its_place():
    with pytest.raises(apmatrix.ConfigError) as caught:
        Machine([AdapterConfig(3, "CEX9C")], [LparConfig("a", guests=[GuestConfig("g", domains="x")])], name="m")
    assert [finding.place for finding in caught.value.findings] == [
        "m: adapter[0].type",
        "m: lpar[0].guest[0].domains",
    ]


def test_what_will_be_refused_is_refused_at_once_or_let_through():
    path = EXAMPLES / "invalid-shared-queue.toml"
    for begin in (
        lambda **more: Machine.from_file(path, **more),
        lambda **more: Machine.from_text(path.read_text(), **more),
    ):
        with pytest.raises(apmatrix.ConfigError, match=r"01\.0006"):
            begin()
        with begin(allow_refused=True) as machine:
            (refusal,) = machine.refusals
            guest = machine.guest("guest2")
            assert (refusal.system, refusal.error) == ("kvm1", "EADDRINUSE")
            assert guest.refusal == refusal
            with pytest.raises(apmatrix.NotRunning, match=r"guest2 is not running: .*EADDRINUSE"):
                guest.sysfs.read("bus/ap/apmask")


def test_an_lpar_that_was_not_activated_says_why():
    lpars = [LparConfig(name, adapters=1, usage_domains=1) for name in ("a", "b")]
    with Machine([AdapterConfig(1, "CEX8A")], lpars, allow_refused=True) as machine:
        assert [lpar.running for lpar in machine.lpars] == [True, False]
        with pytest.raises(apmatrix.NotRunning, match=r"b is not running: .*01\.0001"):
            machine.lpar("b").profile  # noqa: B018


def test_names_lead_to_systems():
    guests = [GuestConfig("g"), GuestConfig("a")]
    with Machine([], [LparConfig("a", guests=guests), LparConfig("b", guests=[GuestConfig("g")])]) as machine:
        assert machine.lpar().name == "a"
        assert machine.system("a") == machine.lpar("a")
        assert machine.guest("a").name == "a/a"
        assert machine.guest("b/g").host == machine.lpar("b")
        assert [system.name for system in machine.systems] == ["a", "b", "a/g", "a/a", "b/g"]
        with pytest.raises(apmatrix.UnknownName, match="there are several guest g: a/g, b/g"):
            machine.guest("g")
        with pytest.raises(LookupError, match="there is no LPAR g: a, b"):
            machine.lpar("g")


def test_a_machine_ends_once(three):
    guest = three.guest("guest1")
    three.close()
    three.close()
    assert not guest.running
    assert three.name == "three-guests"


def test_a_machine_ends_with_its_block():
    with pytest.raises(ZeroDivisionError), Machine.from_text(TEXT) as machine:
        raise ZeroDivisionError
    assert not machine.guest("guest1").running


def test_a_card_is_plugged_in_with_its_faults(nested):
    host = nested.lpar()
    nested.plug(AdapterConfig([20, 21], "CEX8C", faults="verb=PK reply=0x90"))
    host.set_profile(adapters="5-8,20,21")
    host.scan()
    assert host.sysfs.read("/sys/bus/ap/devices/card15/type") == "CEX8C"
    assert [fault.words for fault in nested.faults] == [f"adapter={n} verb=PK reply=0x90" for n in (20, 21)]
    with pytest.raises(apmatrix.ApmatrixError, match="adapter 20 already exists"):
        nested.plug(AdapterConfig(20, "CEX8C"))
    with pytest.raises(apmatrix.ConfigError, match=r"cpc1: adapter\.type"):
        nested.plug(AdapterConfig(22, "card"))


def test_a_card_changes_its_state(nested):
    host = nested.lpar()
    for state, config_, chkstop in (("deconfigured", "0", "0"), ("checkstopped", "1", "1"), ("online", "1", "0")):
        nested.set_adapter(6, state)
        host.scan()
        assert [host.sysfs.read(f"bus/ap/devices/card06/{name}") for name in ("config", "chkstop")] == [
            config_,
            chkstop,
        ]
    with pytest.raises(apmatrix.ApmatrixError, match="there is no adapter 99"):
        nested.set_adapter(99, "online")
    with pytest.raises(ValueError, match="broken"):
        nested.set_adapter(6, "broken")


def test_faults_come_and_go(nested):
    host = nested.lpar()
    with nested.add_fault("adapter=6 on=tapq response=0x05 times=2") as fault:
        codes = [host.cpu.tapq("06.0004")[0].response_code for _ in range(3)]
        assert codes == [5, 5, 0]
        assert fault.count == 2
        assert [each.number for each in nested.faults] == [fault.number]
    assert nested.faults == ()
    assert fault.count == 0
    fault.remove()
    with pytest.raises(apmatrix.FaultError, match="there is no adapter 99"):
        nested.add_fault("adapter=99 delay=1")


def test_virtual_time_passes_when_told_and_while_a_call_waits(nested):
    host = nested.lpar()
    nested.set_adapter(6, "checkstopped")
    nested.advance(29.9)
    assert host.sysfs.read("bus/ap/devices/card06/chkstop") == "0"
    nested.advance(0.2)
    assert host.sysfs.read("bus/ap/devices/card06/chkstop") == "1"
    start = nested.time
    with nested.add_fault("adapter=7 delay=2.5"):
        assert host.crypto.modexpo(3, 5, 2**1024 - 1, queue="07.0004") == 243
    assert 2.5 <= nested.time - start < 3


def test_a_request_that_is_lost_takes_no_real_time_either():
    """With interruptions, that is: Linux polls a card without them 4,000 times a second, of 900."""
    lpar = LparConfig("a", adapters=7, usage_domains=4)
    with Machine([AdapterConfig(7, "CEX8A")], [lpar], facilities=[12, 15, 65], virtual_time=True) as machine:
        start = machine.time
        with machine.add_fault("lose=held times=1") as fault:
            assert machine.lpar().crypto.modexpo(3, 5, 2**1024 - 1) == 243
            assert fault.count == 1
        assert 900 <= machine.time - start < 1000


def test_real_time_cannot_be_advanced():
    with Machine.from_text(TEXT) as machine, pytest.raises(apmatrix.NotVirtual, match="virtual_time=True"):
        machine.advance(1)


def test_a_machine_in_real_time_answers():
    with Machine.from_text(TEXT) as machine:
        before, start = time.monotonic(), machine.time
        assert machine.guest("guest1").crypto.modexpo(3, 5, 2**2048 - 1) == 243
        assert 0 < machine.time - start <= time.monotonic() - before


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_time_that_has_no_end_is_refused(nested, seconds):
    before = nested.time
    with pytest.raises(ValueError, match="give a number from 0 on"):
        nested.advance(seconds)
    assert nested.time == before


def test_several_cards_are_plugged_or_none(nested):
    with pytest.raises(apmatrix.ApmatrixError, match="adapter 5 already exists"):
        nested.plug(AdapterConfig("4,5,9", "CEX8A"))
    assert [adapter.number for adapter in nested.view().adapters] == [5, 6, 7, 8]


def test_a_guest_that_cannot_boot_leaves_no_vm(nested):
    guest = nested.guest("late")
    settings = HostSettings(policy="zz")  # type: ignore[arg-type]
    guest._guest().file = msgspec.structs.replace(guest._guest().file, host=settings)
    for _ in range(2):
        with pytest.raises(apmatrix.ApmatrixError, match="no policy 'zz'"):
            guest.start()
    assert not guest.running


def test_nothing_of_a_closed_machine_goes_on():
    """Its Linux would scan every 30 seconds for ever."""
    with Machine.from_text(TEXT) as machine:
        linux = [lpar._linux() for lpar in machine.lpars]
    assert all(system.ap.stopped for system in linux)
    assert not any(system.running for system in machine.systems)
    with pytest.raises(apmatrix.NotRunning):
        machine.lpar().sysfs.read("bus/ap/apmask")
    with pytest.raises(apmatrix.NotRunning):
        machine.guests[0].start()
