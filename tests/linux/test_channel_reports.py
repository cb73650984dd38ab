"""BUS-70: the machine reports a change of an LPAR's configuration, and its Linux scans at once."""

import pytest

from apmatrix.arch import Apqn, CardType, Mask, Matrix
from apmatrix.cards import AdapterState
from apmatrix.linux import LinuxSystem
from apmatrix.machine import ActivationProfile
from support.host import U1, Host

MATRIX = Matrix(Mask.of(5, 6, 9), Mask.of(4), Mask.of(4))


@pytest.fixture
def host():
    made = Host(cards={5: "CEX8C", 6: "CEX8C"}, matrix=MATRIX, channel_reports=True)
    yield made
    made.close()


def scans(host):
    return int(host.read("bus/ap/scans"))


def test_a_new_domain_is_found_at_once(host):
    before = scans(host)
    host.machine.set_profile("lpar", Matrix(MATRIX.apm, Mask.of(4, 7), Mask.of(4)))
    assert "05.0007" in host.devices()
    assert scans(host) == before + 1


def test_what_leaves_the_profile_is_gone_at_once(host):
    host.machine.set_profile("lpar", Matrix(Mask.of(5), Mask.of(4), Mask.of(4)))
    assert "card06" not in host.devices()


def test_the_same_profile_again_is_not_reported(host):
    before = scans(host)
    host.machine.set_profile("lpar", MATRIX)
    assert scans(host) == before


def test_a_card_that_is_configured_off_and_on_is_reported(host):
    before = scans(host)
    host.machine.set_adapter_state(5, AdapterState.DECONFIGURED)
    assert host.read("bus/ap/devices/card05/config") == "0\n"
    host.machine.set_adapter_state(5, AdapterState.DECONFIGURED)
    assert scans(host) == before + 1
    host.machine.set_adapter_state(5, AdapterState.ONLINE)
    assert host.read("bus/ap/devices/card05/config") == "1\n"
    assert scans(host) == before + 2


def test_a_card_that_fails_is_not_reported(host):
    before = scans(host)
    host.machine.set_adapter_state(5, AdapterState.CHECKSTOPPED)
    assert scans(host) == before


def test_a_card_that_is_plugged_is_found_where_the_profile_has_it(host):
    before = scans(host)
    host.machine.add_adapter(9, CardType.parse("CEX8A"))
    assert "09.0004" in host.devices()
    host.machine.add_adapter(10, CardType.parse("CEX8A"))
    assert scans(host) == before + 1


def test_other_lpars_are_not_disturbed(host):
    level = host.machine.add_lpar(ActivationProfile("other", Matrix(Mask.of(6), Mask.of(5), Mask.of(5)))).level
    other = LinuxSystem(host.machine, level, name="other")
    before = other.ap.scanner.count
    host.machine.set_profile("lpar", Matrix(Mask.of(5), Mask.of(4), Mask.of(4)))
    host.machine.set_adapter_state(5, AdapterState.DECONFIGURED)
    assert other.ap.scanner.count == before
    host.machine.set_adapter_state(6, AdapterState.DECONFIGURED)
    assert other.ap.scanner.count == before + 1
    other.shut_down()


def test_a_system_that_has_been_shut_down_does_not_listen(host):
    before = host.system.ap.scanner.count
    host.system.shut_down()
    host.machine.set_profile("lpar", Matrix(Mask.of(5), Mask.of(4), Mask.of(4)))
    assert host.system.ap.scanner.count == before


def test_guests_of_the_lpar_are_told_in_turn(host):
    host.apmask("-5")
    mdev = host.create(U1)
    mdev.write("assign_adapter", "5")
    mdev.write("assign_domain", "4")
    mdev.write("assign_domain", "7")
    guest = host.system.vmm.start(U1)
    assert set(guest.linux.ap.queues) == {Apqn(5, 4)}
    host.machine.set_profile("lpar", Matrix(MATRIX.apm, Mask.of(4, 7), Mask.of(4)))
    assert set(guest.linux.ap.queues) == {Apqn(5, 4), Apqn(5, 7)}
