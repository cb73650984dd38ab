"""Vectors V78 to V93: filtering, hot plug and hot unplug (host.md 8.7)."""

import pytest

from apmatrix.arch import Mask, Matrix, ResponseCode
from apmatrix.cards import AdapterState, QueueFunction
from support.host import USAGE

FOUR = "05.0004|05.00ab|06.0004|06.00ab"


@pytest.fixture
def unbound(hx):
    """V78: 05.0004 was unbound while guest 1 runs."""
    hx.guest = hx.mdevs[0].start()
    hx.host.witness.seen.clear()
    assert hx.host.unbind("vfio_ap", "05.0004") == "ok"
    return hx


def test_V78_unbinding_takes_the_whole_adapter(unbound):
    first = unbound.mdevs[0]
    assert (first.matrix, first.guest_matrix) == (FOUR, "06.0004|06.00ab")
    assert unbound.guest.level.matrix == Matrix(Mask.of(6), Mask.of(4, 0xAB))
    assert {"05.0004", "05.00ab"} <= unbound.host.witness.zeroized()
    assert not {"06.0004", "06.00ab"} & unbound.host.witness.zeroized()
    assert unbound.host.status("05.00ab") == "assigned\n"
    assert unbound.host.status("06.0004") == "in use\n"


def test_V79_binding_brings_it_back(unbound):
    assert unbound.host.bind("vfio_ap", "05.0004") == "ok"
    assert unbound.mdevs[0].guest_matrix == FOUR
    assert unbound.guest.level.matrix.apm == Mask.of(5, 6)
    assert unbound.host.status("05.0004") == "in use\n"


def test_V80_the_queue_is_still_assigned(unbound):
    assert unbound.mdevs[1].write("assign_domain", "4") == "EADDRINUSE"


@pytest.fixture
def lost(h1_host):
    """V81: a domain took adapter 6 from a running guest."""
    assert h1_host.unbind("vfio_ap", "06.0047") == "ok"
    mdev = h1_host.create().assigned((5, 6), (4,))
    guest = mdev.start()
    assert mdev.guest_matrix == "05.0004|06.0004"
    h1_host.witness.seen.clear()
    assert mdev.write("assign_domain", "0x47") == "ok"
    return mdev, guest


def test_V81_a_domain_takes_an_adapter_from_a_running_guest(lost):
    mdev, guest = lost
    assert mdev.matrix == "05.0004|05.0047|06.0004|06.0047"
    assert mdev.guest_matrix == "05.0004|05.0047"
    assert guest.level.matrix == Matrix(Mask.of(5), Mask.of(4, 0x47))
    assert "06.0004" in mdev.host.witness.zeroized()
    assert "05.0004" not in mdev.host.witness.zeroized()


def test_V82_unassigning_does_not_bring_it_back(lost):
    mdev, guest = lost
    assert mdev.write("unassign_domain", "0x47") == "ok"
    assert mdev.guest_matrix == "05.0004"
    assert guest.level.matrix == Matrix(Mask.of(5), Mask.of(4))


@pytest.mark.parametrize(
    ("writes", "guest_matrix"),
    [
        pytest.param([("unassign_adapter", "6"), ("assign_adapter", "6")], "05.0004|06.0004", id="V83"),
        pytest.param([("ap_config", None)], "05.0004|06.0004", id="V84"),
        pytest.param([("assign_adapter", "6")], "05.0004", id="V85"),
    ],
)
def test_what_filters_again(lost, writes, guest_matrix):
    mdev, guest = lost
    assert mdev.write("unassign_domain", "0x47") == "ok"
    for attribute, text in writes:
        assert mdev.write(attribute, mdev.read(attribute) if text is None else text) == "ok"
    assert mdev.matrix == "05.0004|06.0004"
    assert mdev.guest_matrix == guest_matrix
    assert len(guest.level.matrix) == len(guest_matrix.split("|"))


def test_V86_a_domain_without_adapters_stays(mdev):
    mdev.assigned((5,), (4,))
    assert mdev.host.unbind("vfio_ap", "05.0004") == "ok"
    assert (mdev.matrix, mdev.guest_matrix) == ("05.0004", ".0004")


def test_V87_unassigning_from_a_running_guest(hx):
    guest = hx.mdevs[0].start()
    changes = guest.changes
    hx.host.witness.seen.clear()
    assert hx.mdevs[0].write("unassign_adapter", "5") == "ok"
    assert guest.level.matrix == Matrix(Mask.of(6), Mask.of(4, 0xAB))
    assert hx.host.witness.zeroized() == {"05.0004", "05.00ab"}
    assert guest.changes == changes + 1
    assert hx.host.status("05.0004") == "unassigned\n"
    assert hx.host.status("06.0004") == "in use\n"


def test_V88_unassigning_a_filtered_adapter_leaves_the_guest_alone(lost):
    mdev, guest = lost
    changes, matrix = guest.changes, guest.level.matrix
    mdev.host.witness.seen.clear()
    assert mdev.write("unassign_adapter", "6") == "ok"
    assert (guest.changes, guest.level.matrix) == (changes, matrix)
    assert mdev.host.witness.zeroized() == set()
    assert mdev.matrix == "05.0004|05.0047"


@pytest.mark.parametrize(
    "deconfigure",
    [
        lambda host: host.set_state(6, AdapterState.DECONFIGURED),
        lambda host: host.write("devices/ap/card06/config", "0"),
    ],
    ids=["at-the-machine", "SCLP"],
)
def test_V89_a_deconfigured_adapter_stays_in_the_guest(hx, deconfigure):
    guest = hx.mdevs[0].start()
    changes = guest.changes
    deconfigure(hx.host)
    hx.host.scan()
    assert hx.mdevs[0].guest_matrix == FOUR
    assert hx.host.rc(guest, "06.0004") == ResponseCode.DECONFIGURED
    assert hx.host.rc(guest, "05.0004") == ResponseCode.NORMAL
    assert guest.changes == changes


def test_V90_V91_an_adapter_leaves_the_host_and_returns(hx):
    guest = hx.mdevs[0].start()
    changes = guest.changes
    hx.host.set_profile(adapters=Mask.of(5))
    assert "card06" not in hx.host.devices()
    assert (hx.mdevs[0].matrix, hx.mdevs[0].guest_matrix) == (FOUR, "05.0004|05.00ab")
    assert guest.changes == changes + 1
    assert guest.level.matrix.apm == Mask.of(5)
    hx.host.set_profile(adapters=Mask.of(5, 6))
    assert len(hx.host.on("vfio_ap")) == 8
    assert hx.mdevs[0].guest_matrix == FOUR
    assert guest.changes == changes + 2
    assert guest.level.matrix.apm == Mask.of(5, 6)


@pytest.fixture
def missing_queue(mdev):
    """V92: the host gained usage domain 0x10, but card 5 has no such queue."""
    mdev.assigned((5,), (4, "0x10"))
    assert mdev.guest_matrix == "05.0004"
    mdev.host.answer(QueueFunction.TAPQ, [ResponseCode.NOT_AVAILABLE], "05.0010", forever=True)
    mdev.host.set_profile(usage=USAGE | Mask.of(0x10))
    return mdev


def test_V92_a_new_domain_without_a_queue_takes_the_adapter(missing_queue):
    assert "06.0010" in missing_queue.host.queues()
    assert "05.0010" not in missing_queue.host.queues()
    assert missing_queue.guest_matrix == ".0004|.0010"


def test_V157_when_the_domain_leaves_the_adapter_does_not_return(missing_queue):
    missing_queue.host.set_profile(usage=USAGE)
    assert missing_queue.matrix == "05.0004|05.0010"
    assert missing_queue.guest_matrix == ".0004"


@pytest.mark.parametrize(
    ("code", "guest_matrix"),
    [
        (ResponseCode.NOT_AVAILABLE, "06.0004|06.0047"),
        (ResponseCode.DECONFIGURED, "05.0004|05.0047|06.0004|06.0047"),
        (ResponseCode.CHECKSTOPPED, "05.0004|05.0047|06.0004|06.0047"),
    ],
    ids=["V93-01", "V93-03", "V93-04"],
)
def test_the_last_reset_decides_about_passing(mdev, code, guest_matrix):
    mdev.assigned((5, 6), (4,))
    guest = mdev.start()
    mdev.host.answer(QueueFunction.ZAPQ, [code], "05.0004")
    guest.stop()
    assert mdev.guest_matrix == "05.0004|06.0004"
    assert mdev.write("assign_domain", "0x47") == "ok"
    assert mdev.guest_matrix == guest_matrix


def test_V78_another_mdev_is_not_touched(unbound):
    assert unbound.mdevs[1].guest_matrix == "05.0047|05.00ff"
