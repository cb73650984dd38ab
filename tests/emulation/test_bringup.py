"""Files become machines: what runs, what was refused, who holds what, and why."""

import threading

import pytest

from apmatrix.arch import ApmatrixError, Apqn
from apmatrix.cards import Inline, ManualClock, VirtualClock
from apmatrix.cards.faults import Fault
from apmatrix.config import parse
from apmatrix.emulation import Emulation, explain, look
from apmatrix.emulation.rsa import Question, RsaKey
from apmatrix.hosts import Holding
from apmatrix.linux import Vm

MACHINE = """
[[adapter]]
ids = "5,6"
type = "CEX8A"
[[lpar]]
name = "kvm1"
adapters = "5-7"
usage_domains = "4,5,0x47"
  [lpar.host]
  apmask = "-5"
  [[lpar.guest]]
  name = "guest1"
  adapters = "5"
  domains = "4"
"""

PATIENCE = 20
"""Seconds until a test says that something does not end."""


@pytest.fixture
def start():
    running = []

    def begin(text):
        running.append(Emulation.start(parse(text, "f.toml")))
        return running[-1]

    yield begin
    for emulation in running:
        emulation.close()


def holding(emulation, apqn):
    queue = look(emulation).lpars[0].by_apqn()[Apqn.parse(apqn)]
    return queue.holding, "/".join(queue.holder)


def reason(emulation, apqn, *names):
    step = explain(emulation, "/".join(("kvm1", *(names or ("guest1",)))), Apqn.parse(apqn)).reason
    return step.where, step.subject, step.rule, step.text


def test_everything_in_the_file_runs(start):
    emulation = start(MACHINE)
    assert [system.name for system in emulation.systems()] == ["kvm1", "kvm1/guest1"]
    assert emulation.refusals == []
    assert list(emulation.machine.lpars["kvm1"].level.effective.apm) == [5, 6, 7]
    (guest,) = emulation.guests()
    assert [str(apqn) for apqn in guest.vm.level.effective.apqns()] == ["05.0004"]
    assert guest.system.linux.sysfs.list("bus/ap/drivers/cex4queue").count("05.0004") == 1


def test_a_closed_emulation_has_ended(start):
    emulation = start(MACHINE)
    (guest,) = emulation.guests()
    level = guest.vm.level
    emulation.close()
    assert guest.vm is None
    assert len(level.effective) == 0
    assert list(emulation.systems()) == []


def test_a_machine_ends_though_no_reset_does(start):
    """Linux would wait for ever (MTX-70): the machine is powered off first, and asks no filter."""
    emulation = start(MACHINE)
    emulation.testbed.add_fault(Fault.parse("on=zapq response=0x02"))
    ending = threading.Thread(target=emulation.close, daemon=True)
    ending.start()
    ending.join(PATIENCE)
    ended = not ending.is_alive()
    emulation.testbed.remove_fault()  # an end that waits goes on
    assert ended


@pytest.mark.parametrize("system", ["kvm1", "kvm1/guest1"])
def test_what_boots_next_on_a_level_finds_nothing_there(start, system):
    """Not even if Linux, which has ended, could not reset its queues."""
    emulation = start(MACHINE)
    emulation.testbed.add_fault(Fault.parse("on=zapq response=0x46"))
    found = next(each for each in emulation.systems() if each.name == system)
    level = found.linux.level
    ports = [emulation.machine.port(level, apqn) for apqn in level.effective.apqns() if apqn.adapter != 7]
    for port in ports:
        port.rapq()
        assert port.nqap(1, b"secret").ok
        emulation.machine.adapters[port.apqn.adapter].queue(port.apqn.domain).wait(PATIENCE)
    emulation.make_room(found)
    assert ports
    assert all(port.tapq()[0].empty for port in ports)


def test_who_holds_what(start):
    text = MACHINE + '[[lpar.guest]]\nname = "guest2"\nadapters = "5"\ndomains = "5"\nstart = false\n'
    emulation = start(text)
    assert holding(emulation, "05.0004") == (Holding.GUEST, "guest1")
    assert holding(emulation, "05.0005") == (Holding.ASSIGNED, "guest2")
    assert holding(emulation, "05.0047") == (Holding.FREE, "")
    assert holding(emulation, "06.0004") == (Holding.HOST, "")
    assert holding(emulation, "07.0004") == (Holding.ABSENT, "")
    emulation.lpars[0].shell.write("bus/ap/drivers/cex4queue/unbind", "06.0004")
    assert holding(emulation, "06.0004") == (Holding.UNBOUND, "")


def test_mdevs_that_are_not_in_the_file_are_seen_too(start):
    emulation = start(MACHINE)
    uuid = "62177883-f1bb-47f0-914d-32a22e3a8804"
    admin = emulation.lpars[0].shell
    for path, text in (
        ("mdev_supported_types/vfio_ap-passthrough/create", uuid),
        (f"{uuid}/assign_adapter", "5"),
        (f"{uuid}/assign_domain", "5"),
    ):
        assert admin.write(f"devices/vfio_ap/matrix/{path}", text) is None
    emulation.lpars[0].linux.vmm.start(uuid)
    assert holding(emulation, "05.0005") == (Holding.GUEST, uuid)
    assert look(emulation).lpars[0].guests[1].name == f"kvm1/{uuid}"


def test_an_edited_profile_is_seen(start):
    emulation = start(MACHINE)
    profile = emulation.machine.lpars["kvm1"].profile.matrix
    emulation.machine.set_profile("kvm1", profile & type(profile)(profile.apm, profile.aqm & ~profile.aqm))
    assert look(emulation).lpars[0].queues == ()


def test_a_refused_guest_holds_nothing(start):
    text = MACHINE + '[[lpar.guest]]\nname = "guest2"\nadapters = "5"\ndomains = "0x47,4"\ncontrol_domains = "4"\n'
    emulation = start(text)
    first, second = emulation.guests()
    assert (first.defined, second.defined) == (True, False)
    assert second.vm is None
    (refusal,) = emulation.refusals
    assert (refusal.system, refusal.action, refusal.error) == (
        "kvm1",
        "assign_domain 4 for guest2's mdev",
        "EADDRINUSE",
    )
    assert "05.0004" in refusal.reason
    assert "guest1's mdev has it" in refusal.reason
    assert holding(emulation, "05.0047") == (Holding.FREE, "")


def test_a_mask_that_is_refused_does_not_stop_the_rest(start):
    emulation = start(MACHINE.replace('apmask = "-5"', 'apmask = ["-5", "+256"]'))
    assert [(refusal.action, refusal.error) for refusal in emulation.refusals] == [
        ("echo +256 > /sys/bus/ap/apmask", "EINVAL")
    ]
    assert holding(emulation, "05.0004") == (Holding.GUEST, "guest1")


def test_an_lpar_that_shares_a_queue_is_not_activated(start):
    text = MACHINE + '[[lpar]]\nname = "kvm2"\nadapters = "6"\nusage_domains = "5"\n'
    text += '[[lpar.guest]]\nname = "guest"\nadapters = "6"\ndomains = "5"\n'
    emulation = start(text)
    assert [system.name for system in emulation.lpars] == ["kvm1"]
    assert "06.0005" in emulation.refusals[0].reason
    step = explain(emulation, "kvm2/guest", Apqn(6, 5)).reason
    assert (step.where, step.subject) == ("kvm2", "activation")


def test_a_start_that_is_refused_is_told(start):
    text = MACHINE.replace('domains = "4"', 'domains = "0x47"').replace(
        "[lpar.host]", '[lpar.host]\npolicy = "protective"'
    )
    emulation = start("[machine]\nfacilities = [12, 15]\n" + text)
    (refusal,) = emulation.refusals
    assert (refusal.action, refusal.error) == ("start of guest1", "EINVAL")
    assert holding(emulation, "05.0047") == (Holding.ASSIGNED, "guest1")
    assert reason(emulation, "05.0047")[:3] == ("kvm1", "VM", "VFIO-2")


@pytest.mark.parametrize(
    ("apqn", "expected"),
    [
        ("09.0004", ("f", "adapter", "hardware.md 2.1", "the machine has no adapter 9")),
        ("05.0010", ("kvm1", "profile", "hardware.md 7.2", "the activation profile does not have domain 16")),
        ("06.0004", ("kvm1", "ownership", "BUS-20",
                     "apmask bit 6 is 1, aqmask bit 4 is 1, so the queue is the host's")),
        ("05.0005", ("kvm1", "assignment", "MTX-21", "the mdev of guest1 does not have domain 5")),
    ],
)  # fmt: skip
def test_why_a_guest_has_not_a_queue(start, apqn, expected):
    assert reason(start(MACHINE), apqn) == expected


def test_why_an_unbound_queue_is_lost(start):
    emulation = start(MACHINE)
    emulation.lpars[0].shell.write("bus/ap/drivers/vfio_ap/unbind", "05.0004")
    assert reason(emulation, "05.0004") == ("kvm1", "binding", "BUS-42", "bound to no driver")


def test_why_one_missing_queue_costs_the_adapter(start):
    emulation = start(MACHINE.replace('domains = "4"', 'domains = "4,5"'))
    emulation.lpars[0].shell.write("bus/ap/drivers/vfio_ap/unbind", "05.0005")
    where, subject, rule, text = reason(emulation, "05.0004")
    assert (where, subject, rule) == ("kvm1", "filter", "MTX-50")
    assert text.endswith("05.0005 is not bound to vfio_ap, and that costs the whole adapter")


def test_why_a_small_control_block_loses_a_domain(start):
    emulation = start("[machine]\nfacilities = [12, 15]\n" + MACHINE.replace('domains = "4"', 'domains = "4,0x47"'))
    assert reason(emulation, "05.0047") == (
        "kvm1",
        "control block",
        "KVM-10",
        "the control block of guest1 (format 0) does not have domain 71",
    )
    assert explain(emulation, "kvm1/guest1", Apqn(5, 4)).has


def test_why_an_override_decides(start):
    text = MACHINE.replace('apmask = "-5"', "")
    emulation = start(text.replace('  domains = "4"\n', ""))
    admin = emulation.lpars[0].shell
    (guest,) = emulation.guests()
    for path, word in (
        ("bus/ap/devices/05.0004/driver_override", "vfio_ap"),
        ("bus/ap/drivers/cex4queue/unbind", "05.0004"),
        ("bus/ap/drivers_probe", "05.0004"),
        (f"{guest.mdev}/assign_domain", "4"),
    ):
        assert admin.write(path, word) is None
    explanation = explain(emulation, guest.name, Apqn(5, 4))
    assert explanation.has
    assert explanation.steps[3].text == "driver_override gives the queue to vfio_ap"


def test_why_a_guest_that_is_not_started_has_nothing(start):
    emulation = start(MACHINE + "  start = false\n")
    assert reason(emulation, "05.0004") == (
        "kvm1",
        "VM",
        "VFIO-2",
        "guest1 is not running: the file says start = false",
    )


def test_a_deconfigured_adapter_is_handed_on_and_told(start):
    emulation = start(MACHINE.replace('type = "CEX8A"', 'type = "CEX8A"\nstate = "deconfigured"'))
    explanation = explain(emulation, "kvm1/guest1", Apqn(5, 4))
    assert explanation.has
    assert "adapter 5 is a CEX8A, deconfigured" in explanation.steps[0].text
    assert explanation.reason.text.endswith("TAPQ answers 03 (deconfigured)")


def test_the_clock_can_be_given():
    clock = ManualClock()
    with Emulation.start(parse(MACHINE, "f.toml"), clock=clock) as emulation:
        assert emulation.machine.clock is clock


def test_more_queues_than_a_page_of_text_has_room_for(start):
    text = """
[[adapter]]
ids = "0-15"
type = "CEX8A"
[[lpar]]
name = "kvm1"
adapters = "0-15"
usage_domains = "0-63"
  [lpar.host]
  apmask = "-0-255"
  [[lpar.guest]]
  name = "guest1"
  adapters = "0-15"
  domains = "0-63"
"""
    emulation = start(text)
    assert len(emulation.lpars[0].shell.read(f"{next(emulation.guests()).mdev}/matrix")) == 4095
    assert explain(emulation, "kvm1/guest1", Apqn(15, 63)).has
    assert holding(emulation, "0f.003f") == (Holding.GUEST, "guest1")


def test_nobody_meets_a_guest_that_is_only_being_started(start, monkeypatch):
    emulation = start(MACHINE)
    (guest,) = emulation.guests()
    emulation.stop_guest(guest)
    boot, seen = Vm.reboot, list[str]()

    def reboot(vm):
        seen.extend(system.linux.name for system in emulation.known_systems())
        return boot(vm)

    monkeypatch.setattr(Vm, "reboot", reboot)
    emulation.start_guest(guest)
    assert seen == ["kvm1"]


def test_a_card_that_is_plugged_in_is_like_those_of_the_file(start):
    """It has the faults that are on for all, the machine's timing, and Linux finds it."""
    text = '[machine]\ntiming = 1e-6\nfaults = "domain=0x47 delay=1.5"\n' + MACHINE
    emulation, other = start(text), parse(MACHINE.replace('"5,6"', '"7"').replace("CEX8A", "CEX8P"), "g.toml")
    linux = emulation.lpars[0].linux
    emulation.plug(other.adapters[0])
    filters = [emulation.machine.adapters[number].filters.chain for number in (5, 7)]
    assert [type(each) for each in filters[1]] == [type(each) for each in filters[0]]
    assert filters[1][1] is filters[0][1]
    linux.scan()
    assert linux.sysfs.read("bus/ap/devices/card07/type") == b"CEX8P\n"
    with pytest.raises(ApmatrixError, match="adapter 7 already exists"):
        emulation.plug(other.adapters[0])


def test_the_cards_work_where_the_caller_says(start):
    class Counted(Inline):
        count = 0

        def submit(self, turn, action, /, *arguments):
            self.count += 1
            super().submit(turn, action, *arguments)

    workers = Counted()
    with Emulation.start(parse(MACHINE, "f.toml"), clock=VirtualClock(), workers=workers) as emulation:
        linux = emulation.lpars[0].linux
        workers.count = 0
        question = Question.random(RsaKey.generate(1024), crt=False)
        assert question.is_answered_by(linux.zcrypt.rsa(question.request(), queue="06.0004"))
    assert workers.count == 1
