"""Explanations of a machine that has changed since it came up: what counts is what is, not what the file says."""

from __future__ import annotations

import pytest

from apmatrix.arch import Apqn, Mask, Matrix
from apmatrix.cards import ManualClock
from apmatrix.config import parse
from apmatrix.emulation import Emulation, UnknownGuest, explain, find_subject
from apmatrix.hosts.facts import MATRIX, MDEV_TYPE

FILE = """
[machine]
name = "m"
[[adapter]]
ids = "5,6"
type = "CEX8C"
[[lpar]]
name = "kvm1"
adapters = "5,6"
usage_domains = "4,6"
  [lpar.host]
  apmask = "-5,-6"
  [[lpar.guest]]
  name = "guest1"
  adapters = "5"
  domains = "4,6"
  [[lpar.guest]]
  name = "guest2"
  adapters = "6"
  domains = "4"
    [[lpar.guest.guest]]
    name = "inner"
    adapters = "6"
    domains = "4"
"""
NEW = "ffffffff-0000-4000-8000-000000000000"


@pytest.fixture
def machine():
    clock = ManualClock()
    with Emulation.start(parse(FILE, "f.toml"), clock=clock) as emulation:
        clock.advance(1)
        yield emulation


def answer(machine, name, apqn):
    """Yes or no, with what was looked at where it was decided."""
    found = explain(machine, name, Apqn.parse(apqn))
    return found.has, found.reason.subject, found.reason.text


@pytest.mark.parametrize("change", ["unassign", "unbind", "profile", "stop", "mask"])
def test_a_queue_that_the_running_guest_lost_is_no_yes(machine, change):
    assert answer(machine, "guest1", "05.0004")[0]
    kvm1, guest = machine.lpars[0], next(machine.guests())
    if change == "unassign":
        assert kvm1.shell.write(f"{guest.mdev}/unassign_domain", "4") is None
        expected = (False, "assignment", "the mdev of guest1 does not have domain 4")
    elif change == "unbind":
        assert kvm1.shell.write("bus/ap/drivers/vfio_ap/unbind", "05.0004") is None
        expected = (False, "binding", "bound to no driver")
    elif change == "profile":
        machine.machine.set_profile("kvm1", Matrix(Mask.of(6), Mask.of(4, 6)))
        expected = (False, "profile", "the activation profile does not have adapter 5")
    elif change == "stop":
        machine.stop_guest(guest)
        expected = (False, "VM", "guest1 is not running: it was stopped")
    else:
        assert kvm1.shell.write(f"{guest.mdev}/unassign_adapter", "5") is None
        assert kvm1.shell.write("bus/ap/apmask", "+5") is None
        expected = (False, "ownership", "apmask bit 5 is 1, aqmask bit 4 is 1, so the queue is the host's")
    assert answer(machine, "guest1", "05.0004") == expected


def test_a_queue_that_was_given_by_hand_is_a_yes(machine):
    kvm1, guest = machine.lpars[0], list(machine.guests())[1]
    assert not answer(machine, "kvm1/guest2", "06.0006")[0]
    assert kvm1.shell.write(f"{guest.mdev}/assign_domain", "6") is None
    assert answer(machine, guest.uuid.upper(), "06.0006")[0]


def test_an_mdev_that_no_file_knows(machine):
    shell = machine.lpars[0].shell
    assert shell.write(f"{MDEV_TYPE}/create", NEW) is None
    assert shell.write(f"{MATRIX}/{NEW}/assign_adapter", "5") is None
    assert shell.write(f"{MATRIX}/{NEW}/assign_domain", "4") is not None  # guest1's
    has, subject, text = answer(machine, NEW, "05.0004")
    assert (has, subject) == (False, "assignment")
    assert text.endswith("does not have domain 4; 05.0004 is assigned to guest1")


def test_MTX31_a_filter_that_has_not_looked_again(machine):
    kvm1, guest = machine.lpars[0], next(machine.guests())
    shell = kvm1.shell
    assert shell.write("bus/ap/drivers/vfio_ap/unbind", "05.0006") is None
    assert shell.write(f"{guest.mdev}/unassign_domain", "6") is None
    has, subject, text = answer(machine, "guest1", "05.0004")
    assert (has, subject) == (False, "filter")
    assert text == (
        "adapter 5 with domain 4 is not handed on: nothing blocks it now, but Linux checks again only when "
        "something is assigned or bound"
    )


def test_a_guest_of_a_guest_goes_through_both_hosts(machine):
    found = explain(machine, "inner", Apqn(6, 4))
    assert not found.has
    assert [step.where for step in found.steps if step.subject == "ownership"] == ["kvm1", "kvm1/guest2"]
    assert found.reason.where == "kvm1/guest2"


@pytest.mark.parametrize("name", ["guest9", "", "kvm2/guest1", "guest1/guest1", "05.0004"])
def test_an_unknown_guest(machine, name):
    with pytest.raises(UnknownGuest, match="the guests are kvm1/guest1, kvm1/guest2, kvm1/guest2/inner"):
        find_subject(machine, name)
