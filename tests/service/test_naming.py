"""Names of guests and systems: the scope that is given is the scope, an ambiguous name is refused everywhere."""

import socket

import pytest

from apmatrix import Machine, UnknownName
from apmatrix.config import parse
from apmatrix.emulation import Emulation, UnknownGuest, find_subject
from apmatrix.hosts.facts import MDEV_TYPE
from apmatrix.service.client import Client
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.levels import take_level
from apmatrix.service.protocol.guests import ListGuests, StartGuest, StopGuest
from apmatrix.service.protocol.keys import ShowKeys
from apmatrix.service.protocol.machine import GetLog
from apmatrix.service.protocol.matrix import ExplainQueues
from apmatrix.service.protocol.names import Scope
from apmatrix.service.server import MachineServer

UUID = "11111111-0000-4000-8000-000000000000"
FILE = """
[[adapter]]
ids = "1,2"
type = "CEX8C"
[[lpar]]
name = "a"
adapters = "1"
usage_domains = "4-6"
  [lpar.host]
  apmask = "-1"
  [[lpar.guest]]
  name = "web"
  adapters = "1"
  domains = "4"
    [lpar.guest.host]
    apmask = "-1"
    [[lpar.guest.guest]]
    name = "Inner"
    adapters = "1"
    domains = "4"
  [[lpar.guest]]
  name = "late"
  adapters = "1"
  domains = "5"
  start = false
[[lpar]]
name = "b"
adapters = "2"
usage_domains = "4-6"
  [lpar.host]
  apmask = "-2"
  [[lpar.guest]]
  name = "web"
  adapters = "2"
  domains = "4"
  [[lpar.guest]]
  name = "a"
  adapters = "2"
  domains = "5"
"""
BOTH = "there are several guests web: choose one of a/web, b/web"


@pytest.fixture
def emulation():
    with Emulation.start(parse(FILE, "f.toml")) as made:
        assert made.refusals == []
        yield made


@pytest.fixture
def client(emulation):
    yield from connected(emulation, None)


def connected(emulation, system):
    ours, theirs = socket.socketpair()
    with ours:
        MachineServer(emulation).serve(theirs, system)
        yield Client(ours)


def stopped(client):
    return [guest.name for guest in client.ask(ListGuests()) if not guest.running]


def refused(client, request, code=ExitCode.UNREADABLE):
    """The sentence with which a request is refused, and nothing changes."""
    before = stopped(client)
    with pytest.raises(ControlError) as caught:
        client.ask(request)
    assert caught.value.code is code
    assert stopped(client) == before
    return str(caught.value)


@pytest.mark.parametrize(
    "request_",
    [
        StartGuest("web"),
        StopGuest("web"),
        StopGuest("x", Scope(guest="web")),
        GetLog("web"),
        GetLog(Scope(guest="web")),
        ShowKeys(system="web"),
        ExplainQueues("web"),
    ],
    ids=repr,
)
def test_an_ambiguous_name_is_refused_by_every_request(client, request_):
    assert refused(client, request_).startswith(BOTH)


def test_an_ambiguous_name_is_refused_by_boot_explain_and_the_api(emulation):
    with pytest.raises(ControlError, match=BOTH):
        take_level(emulation, None, "web")
    with pytest.raises(UnknownGuest, match=BOTH):
        find_subject(emulation, "web")
    with Machine.from_text(FILE) as machine, pytest.raises(UnknownName, match="several guest web: a/web, b/web"):
        machine.guest("web")


def test_one_uuid_in_two_systems_is_ambiguous(emulation, client):
    for system in emulation.lpars:
        assert system.shell.write(f"{MDEV_TYPE}/create", UUID) is None
    assert "choose one of" in refused(client, StartGuest(UUID))
    assert client.ask(StartGuest(UUID, Scope(lpar="b"))).name == f"b/{UUID}"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (StopGuest("late", Scope(guest="b/web")), "b/web has no guest late: its guests are none"),
        (StopGuest("late", Scope(lpar="b")), "b has no guest late: its guests are b/web, b/a"),
        (StopGuest("Inner", Scope(lpar="a")), "a has no guest Inner: its guests are a/web, a/late"),
        (StartGuest("b/web", Scope(lpar="a")), "a has no guest b/web: its guests are a/web, a/late"),
        (GetLog(Scope("a", "b/web")), "a has no guest b/web: its guests are a/web, a/web/Inner, a/late"),
        (GetLog(Scope(lpar="web")), "there is no LPAR web in f: the LPARs are a, b"),
        (GetLog(Scope(guest="b")), "there is no guest b: the guests are a/web"),
    ],
    ids=repr,
)
def test_the_scope_that_is_given_is_the_scope(client, request_, said):
    assert refused(client, request_).startswith(said)


def test_an_option_says_what_kind_of_system_is_meant(emulation, client):
    assert client.ask(StopGuest("a", Scope(lpar="b"))).name == "b/a"
    assert refused(client, GetLog(Scope(guest="a")), ExitCode.UNREACHABLE).startswith("guest b/a is not running")
    assert client.ask(GetLog("a")) == client.ask(GetLog(Scope(lpar="a")))


def test_a_guest_is_found_below_the_lpar_that_is_given(client):
    assert client.ask(GetLog(Scope("a", "Inner"))) == client.ask(GetLog("a/web/Inner"))
    assert client.ask(StopGuest("Inner", Scope("a", "web"))).name == "a/web/Inner"


def test_in_a_session_names_are_those_of_its_own_guests(emulation):
    b = emulation.lpars[1]
    for client in connected(emulation, b):
        assert client.ask(StopGuest("web")).name == "b/web"
        assert refused(client, StopGuest("Inner")) == "b has no guest Inner: its guests are b/web, b/a"
        assert client.ask(StopGuest("a/web/Inner")).name == "a/web/Inner"


def test_a_stopped_guest_is_known_and_can_be_started(client):
    sentence = "guest a/late is not running: apmatrix guest start a/late"
    assert refused(client, GetLog(Scope(guest="late")), ExitCode.UNREACHABLE) == sentence
    client.ask(StopGuest("a/web"))
    inner = refused(client, StartGuest("Inner"), ExitCode.UNREACHABLE)
    assert inner == "guest a/web/Inner is not running, and neither is its host a/web"


def test_starts_and_stops_of_what_already_is_so_have_one_exit_code(client):
    assert refused(client, StopGuest("late"), ExitCode.UNREACHABLE) == "guest a/late is not running"
    assert refused(client, StartGuest("a/web"), ExitCode.UNREACHABLE) == "guest a/web is already running"
