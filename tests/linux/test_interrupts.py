"""Adapter interrupts instead of polling, on the host and in its guests (facility 65)."""

from __future__ import annotations

import pytest

from apmatrix.arch import Facility
from apmatrix.linux.zcrypt import ModExpo
from support.host import U1, h1

ALL = (*Facility,)
REQUEST = ModExpo((65).to_bytes(2, "big"), (17).to_bytes(2, "big"), (3233).to_bytes(2, "big"))
RESULT = (2790).to_bytes(2, "big")


def settle(host, system):
    """Let the queues finish their resets."""
    for _ in range(3):
        host.clock.advance(0.04)
    assert system.sysfs.read("bus/ap/bindings").endswith(b"(complete)\n")


@pytest.fixture
def host():
    made = h1(facilities=ALL)
    yield made
    made.close()


def test_the_host_is_interrupted(host):
    assert host.apmask("+6") == "ok"
    settle(host, host.system)
    assert host.bus("ap_interrupts") == "1\n"
    assert host.attribute("06.0004", "interrupt") == "Interrupts enabled.\n"
    before = host.clock.now()
    assert host.system.zcrypt.rsa(REQUEST, queue="06.0004") == RESULT
    assert host.clock.now() == before  # nothing was polled


def test_a_guests_aqic_goes_through_kvm(host):
    mdev = host.create().assigned((5, 6), (4,))
    vm = host.system.vmm.start(mdev.uuid)
    guest = vm.linux
    settle(host, guest)
    assert guest.sysfs.read("bus/ap/ap_interrupts") == b"1\n"
    assert guest.sysfs.read("bus/ap/devices/06.0004/interrupt") == b"Interrupts enabled.\n"
    registered = {str(apqn) for apqn, queue in host.system.vfio_ap.queues.items() if queue.interrupt}
    assert registered == {"05.0004", "06.0004"}
    assert guest.zcrypt.rsa(REQUEST, queue="06.0004") == RESULT
    vm.stop()
    assert not any(queue.interrupt for queue in host.system.vfio_ap.queues.values())


def test_nested_guests_poll(host):
    outer = host.system.vmm.start(host.create(U1).assigned((6,), (4,)).uuid)
    middle = outer.linux
    for path, text in (("bus/ap/apmask", "-6"), ("bus/ap/aqmask", "-4")):
        middle.sysfs.write(path, text.encode())
    create = "devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create"
    middle.sysfs.write(create, U1.encode())
    for attribute, number in (("assign_adapter", b"6"), ("assign_domain", b"4")):
        middle.sysfs.write(f"devices/vfio_ap/matrix/{U1}/{attribute}", number)
    inner = middle.vmm.start(U1).linux
    settle(host, inner)
    assert inner.sysfs.read("bus/ap/ap_interrupts") == b"0\n"
    assert inner.sysfs.read("bus/ap/devices/06.0004/interrupt") == b"Interrupts disabled.\n"


@pytest.mark.parametrize("facilities", [ALL, tuple(set(ALL) - {Facility.AQIC})])
def test_poll_thread(facilities):
    host = h1(facilities=facilities)
    assert host.write("bus/ap/poll_thread", "1\n") == "ok"
    assert host.bus("poll_thread") == ("0\n" if Facility.AQIC in facilities else "1\n")
