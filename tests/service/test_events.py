"""What happens on a machine reaches those who subscribed, in order, and nobody holds the machine up."""

import json
import socket
import threading
from contextlib import contextmanager

import pytest

from apmatrix.arch import Apqn, Mask, Matrix
from apmatrix.arch.events import (
    AdapterConfigured,
    AdapterStateChanged,
    AnyEvent,
    ControlBlockChanged,
    FaultAdded,
    FaultRemoved,
    GuestStarted,
    GuestStopped,
    MdevChanged,
    MdevCreated,
    MdevRemoved,
    ProfileChanged,
    RequestRefused,
    WriteRefused,
)
from apmatrix.cards import AdapterState, Fault, ManualClock
from apmatrix.config import parse
from apmatrix.emulation import Emulation
from apmatrix.service.client import Client
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.events import Events
from apmatrix.service.protocol.events import Happened, Lost
from apmatrix.service.protocol.guests import StartGuest, StopGuest
from apmatrix.service.protocol.machine import GetLog
from apmatrix.service.server import MachineServer
from support.running import command

UUID, OTHER = (f"00000000-0000-4000-8000-{number:012}" for number in (1, 2))
FILE = f"""
[[adapter]]
ids = "5,6"
type = "CEX8A"
[[lpar]]
name = "kvm1"
adapters = "5,6"
usage_domains = "4,7"
[lpar.host]
apmask = "-5"
[[lpar.guest]]
name = "guest1"
uuid = "{UUID}"
adapters = "5"
domains = "4"
start = false
"""
NONE, FIVE, FOUR = Mask(), Mask.of(5), Mask.of(4)
BOTH = Mask.of(4, 7)
GUEST = GuestStarted("kvm1/guest1", UUID), GuestStopped("kvm1/guest1", UUID)
GIVEN = ControlBlockChanged("kvm1/guest1", FIVE, FOUR, NONE)
TAKEN = ControlBlockChanged("kvm1/guest1", NONE, NONE, NONE)
MDEV = "devices/vfio_ap/matrix"


@pytest.fixture
def emulation():
    with Emulation.start(parse(FILE, "machine.toml")) as made:
        yield made


@contextmanager
def connected(server):
    ours, theirs = socket.socketpair()
    server.serve(theirs)
    ours.settimeout(60)
    with Client(ours) as client:
        yield client


def test_events_and_kernel_logs_are_on_one_time_scale():
    """Events count from the machine's start; a kernel log says when on that scale its Linux booted."""
    clock = ManualClock()
    with Emulation.start(parse(FILE, "machine.toml"), clock=clock) as emulation:
        server = MachineServer(emulation)
        with connected(server) as client, connected(server) as reader:
            events = reader.subscribe()
            clock.advance(100.0)
            client.ask(StartGuest("guest1"))
            assert next(event for event in events if event.event == GUEST[0]).time == 100.0
            clock.advance(20.0)
            list(emulation.systems())[-1].linux.log.error("late")
            logs = [client.ask(GetLog(name)) for name in ("kvm1", "guest1")]
        server.close()
    assert [log.booted for log in logs] == [0.0, 100.0]
    assert logs[1].entries[-1].time == 20.0


def client_threads_ended():
    for thread in threading.enumerate():
        if thread.name == "client":
            thread.join(60)


def start_and_stop(emulation):
    (guest,) = emulation.guests()
    emulation.start_guest(guest)
    emulation.stop_guest(guest)


def assign(emulation):
    emulation.lpars[0].linux.sysfs.write(f"{MDEV}/{UUID}/assign_domain", b"7")
    emulation.lpars[0].linux.sysfs.write(f"{MDEV}/{UUID}/assign_control_domain", b"4")
    emulation.lpars[0].linux.sysfs.write(f"{MDEV}/{UUID}/remove", b"1")


def assign_to_a_running_guest(emulation):
    (guest,) = emulation.guests()
    emulation.start_guest(guest)
    emulation.lpars[0].linux.sysfs.write(f"{MDEV}/{UUID}/unassign_domain", b"4")


def be_refused(emulation):
    with pytest.raises(OSError, match="in use"):
        emulation.lpars[0].linux.sysfs.write(f"{MDEV}/{UUID}/assign_adapter", b"6")


def end_a_vm_with_its_host(emulation):
    linux = emulation.lpars[0].linux
    linux.sysfs.write(f"{MDEV}/mdev_supported_types/vfio_ap-passthrough/create", OTHER.encode())
    emulation.start_vm(linux, OTHER)
    emulation.make_room(emulation.lpars[0])


def edit_the_profile(emulation):
    emulation.machine.set_profile("kvm1", Matrix(FIVE, BOTH, NONE))


def configure_off(emulation):
    emulation.machine.configure(emulation.lpars[0].linux.level, 5, on=False)


def checkstop(emulation):
    emulation.machine.set_adapter_state(5, AdapterState.CHECKSTOPPED)
    emulation.machine.set_adapter_state(5, AdapterState.CHECKSTOPPED)  # it is already


def add_and_remove_faults(emulation):
    for words in ("adapter=5 on=zapq response=0x2", "adapter=6 reply=0x90"):
        emulation.testbed.add_fault(Fault.parse(words))
    emulation.testbed.remove_fault(2)
    emulation.testbed.remove_fault()


HAPPENINGS = [
    (start_and_stop, [GIVEN, GUEST[0], TAKEN, GUEST[1]]),
    (
        assign,
        [
            MdevChanged("kvm1", UUID, FIVE, BOTH, NONE),
            MdevChanged("kvm1", UUID, FIVE, BOTH, FOUR),
            MdevChanged("kvm1", UUID, NONE, NONE, NONE),
            MdevRemoved("kvm1", UUID),
        ],
    ),
    (
        assign_to_a_running_guest,
        [
            GIVEN,
            GUEST[0],
            MdevChanged("kvm1", UUID, FIVE, NONE, NONE),
            ControlBlockChanged("kvm1/guest1", FIVE, NONE, NONE),
        ],
    ),
    (
        end_a_vm_with_its_host,
        [
            MdevCreated("kvm1", OTHER),
            GuestStarted(f"kvm1/{OTHER}", OTHER),
            GuestStopped(f"kvm1/{OTHER}", OTHER),
        ],
    ),
    (edit_the_profile, [ProfileChanged("kvm1", FIVE, BOTH, NONE)]),
    (configure_off, [AdapterConfigured("kvm1", 5, on=False)]),
    (checkstop, [AdapterStateChanged(5, "checkstopped")]),
    (
        add_and_remove_faults,
        [
            FaultAdded(1, "adapter=5 on=zapq response=0x2"),
            FaultAdded(2, "adapter=6 reply=0x90"),
            FaultRemoved(2),
            FaultRemoved(1),
        ],
    ),
]


@pytest.mark.parametrize(("happen", "expected"), HAPPENINGS, ids=[happen.__name__ for happen, _ in HAPPENINGS])
def test_what_happens_is_announced_where_it_happens(emulation, happen, expected):
    found: list[AnyEvent] = []
    emulation.machine.observers.append(found.append)
    happen(emulation)
    assert found == expected


def test_a_refused_write_names_file_and_reason(emulation):
    found: list[AnyEvent] = []
    emulation.machine.observers.append(found.append)
    with pytest.raises(OSError):
        emulation.lpars[0].linux.sysfs.write(f"{MDEV}/{UUID}/assign_adapter", b"nonsense")
    (event,) = found
    assert isinstance(event, WriteRefused)
    assert (event.system, event.error) == ("kvm1", "EINVAL")
    assert event.path.endswith(f"{UUID}/assign_adapter")
    assert event.sentence


def test_a_refused_assignment_names_queues_and_holder(emulation):
    sysfs = emulation.lpars[0].linux.sysfs
    sysfs.write(f"{MDEV}/mdev_supported_types/vfio_ap-passthrough/create", OTHER.encode())
    sysfs.write(f"{MDEV}/{OTHER}/assign_adapter", b"5")
    found: list[AnyEvent] = []
    emulation.machine.observers.append(found.append)
    with pytest.raises(OSError):
        sysfs.write(f"{MDEV}/{OTHER}/assign_domain", b"4")
    (event,) = found
    assert isinstance(event, WriteRefused)
    assert (event.error, event.apqns, event.holder) == ("EADDRINUSE", (Apqn(5, 4),), UUID)


def test_subscribers_get_numbered_events_in_order(emulation):
    server = MachineServer(emulation)
    with connected(server) as first, connected(server) as second, connected(server) as third:
        early = first.subscribe()
        emulation.testbed.add_fault(Fault.parse("adapter=5 reply=0x90"))
        late = second.subscribe()
        third.ask(StartGuest("guest1"))
        third.ask(StopGuest("guest1"))
        with pytest.raises(ControlError):
            third.ask(StopGuest("guest1"))
        ended = RequestRefused("stop-guest", "guest kvm1/guest1 is not running")
        found = [list(take_until(ended, events)) for events in (early, late)]
    assert [happened.sequence for happened in found[0]] == list(range(1, len(found[0]) + 1))
    assert found[0][1:] == found[1]
    assert isinstance(found[0][0].event, FaultAdded)
    assert [happened.event for happened in found[1]] == [GIVEN, GUEST[0], TAKEN, GUEST[1], ended]
    assert [happened.time for happened in found[0]] == sorted(happened.time for happened in found[0])


def take_until(event, events):
    """What comes up to an event, included."""
    for happened in events:
        yield happened
        if happened.event == event:
            return


def removed(number):
    return FaultRemoved(number)


def test_a_subscriber_is_told_how_many_events_it_lost():
    events = Events(lambda: 0.5, length=3)
    subscription = events.subscribe()
    for number in range(1, 6):
        events.publish(removed(number))
    kept = [Happened(number, 0.5, removed(number)) for number in (3, 4, 5)]
    assert subscription.take() == [Happened(2, 0.5, Lost(2)), *kept]
    assert subscription.take() == []
    events.publish(removed(6))
    assert subscription.take() == [Happened(6, 0.5, removed(6))]
    subscription.close()
    events.publish(removed(7))
    assert subscription.take() == []
    later = events.subscribe()
    assert later.sequence == 7
    later.close()


def test_a_subscriber_that_does_not_read_holds_nobody_up(emulation):
    """Far more than fits into the socket and the queue is published by this thread, which then is the one to read."""
    server = MachineServer(emulation)
    count = 20_000
    with connected(server) as client:
        events = client.subscribe()
        for number in range(1, count + 1):
            server.events.publish(removed(number))
        next_number, lost = 1, 0
        while next_number <= count:
            happened = next(events)
            if isinstance(happened.event, Lost):
                lost += happened.event.count
                next_number += happened.event.count
                assert happened.sequence == next_number - 1
            else:
                assert (happened.sequence, happened.event) == (next_number, removed(next_number))
                next_number += 1
        assert lost > 0


@pytest.mark.parametrize(
    "vanish", [Client.close, lambda client: client.connection.sendall(b"x")], ids=["end", "speech"]
)
def test_a_subscriber_that_vanishes_is_forgotten(emulation, vanish):
    server = MachineServer(emulation)
    with connected(server) as client:
        client.subscribe()
        assert server.events.subscribers == 1
        vanish(client)
        client_threads_ended()
        assert server.events.subscribers == 0
    emulation.testbed.add_fault(Fault.parse("adapter=5 reply=0x90"))


def test_the_end_of_the_machine_ends_the_stream(emulation):
    server = MachineServer(emulation)
    ours, theirs = socket.socketpair()
    server.serve(theirs)
    with Client(ours) as client:
        events = client.subscribe()
        server.events.publish(removed(1))
        assert next(events).event == removed(1)
        theirs.shutdown(socket.SHUT_RDWR)
        with pytest.raises(ControlError, match=r"^the machine ended$") as caught:
            next(events)
    assert caught.value.code is ExitCode.UNREACHABLE


# the command


class Stream:
    """A client that gives events, and then ends as it is told to."""

    def __init__(self, end):
        self.end = end

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def subscribe(self):
        yield Happened(1, 1.25, GuestStarted("kvm1/guest1", UUID))
        yield Happened(2, 2.5, MdevChanged("kvm1", UUID, FIVE, BOTH, NONE))
        yield Happened(3, 3.0, RequestRefused("stop-guest", "it is not running"))
        raise self.end


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        (KeyboardInterrupt(), 130, ""),
        (ControlError("the machine ended", ExitCode.UNREACHABLE), 3, "apmatrix: the machine ended\n"),
    ],
    ids=["interrupted", "ended"],
)
def test_events_are_printed_until_either_end_ends(monkeypatch, end, code, said):
    monkeypatch.setattr("apmatrix.cli.events.find_machine", lambda name: name)
    monkeypatch.setattr("apmatrix.cli.events.connect", lambda _: Stream(end))
    result = command("events", "--machine", "cpc1", code=code)
    assert result.stdout.splitlines() == [
        f"[    1.250000] 1 guest-started guest=kvm1/guest1 uuid={UUID}",
        f"[    2.500000] 2 mdev-changed system=kvm1 uuid={UUID} adapters=5 usage_domains=4,7 control_domains=none",
        '[    3.000000] 3 request-refused request=stop-guest sentence="it is not running"',
    ]
    assert result.stderr == said
    lines = command("events", "--json", code=code).stdout.splitlines()
    assert json.loads(lines[1]) == {
        "version": 1,
        "kind": "events",
        "sequence": 2,
        "time": 2.5,
        "event": {
            "event": "mdev-changed",
            "system": "kvm1",
            "uuid": UUID,
            "adapters": [5],
            "usage_domains": [4, 7],
            "control_domains": [],
        },
    }
