"""Vectors V40 to V53: the three guests of the kernel document (host.md 8.4)."""

import pytest

from apmatrix.arch import Mask
from support.host import GIVE_ALL_CARDS, GIVE_ALL_DOMAINS, TYPE, U1, U2, U3


def test_V40_giving_the_queues_to_vfio_ap(h0_host):
    assert (h0_host.apmask(GIVE_ALL_CARDS + "\n"), h0_host.aqmask(GIVE_ALL_DOMAINS + "\n")) == ("ok", "ok")
    names = h0_host.sysfs.list("bus/ap/drivers/vfio_ap")
    assert [name for name in names if "." in name] == h0_host.queues()
    assert len(h0_host.queues()) == 8
    assert h0_host.bus("bindings") == "8/8 (complete)\n"


def test_V41_creating_the_mdevs(hd_host):
    for uuid in (U1, U2, U3):
        hd_host.create(uuid)
    assert hd_host.read(f"{TYPE}/available_instances") == "65533\n"
    assert hd_host.sysfs.list("bus/mdev/devices") == sorted((U1, U2, U3))


MATRICES = ["05.0004|05.00ab|06.0004|06.00ab", "05.0047|05.00ff", "06.0047|06.00ff"]


@pytest.mark.parametrize("number", range(3), ids=["V42", "V43", "V44"])
def test_the_matrices(hx, number):
    mdev = hx.mdevs[number]
    assert (mdev.matrix, mdev.guest_matrix) == (MATRICES[number], MATRICES[number])


def test_V45_ap_config(hx):
    aqm = "0x0800000000000000000000000000000000000000001000000000000000000000"
    assert hx.mdevs[0].read("ap_config") == f"0x06{'0' * 62},{aqm},0x{'0' * 64}\n"


def refusals(hx, uuid, *queues, other):
    return [
        f"vfio_ap_mdev {uuid}: Userspace may not assign queue {queue} to mdev: already assigned to {other}"
        for queue in queues
    ]


def test_V46_a_domain_of_another_mdev(hx):
    hx.host.log()
    assert hx.mdevs[1].write("assign_domain", "4") == "EADDRINUSE"
    assert hx.host.log() == refusals(hx, U2, "05.0004", other=U1)
    assert (hx.mdevs[1].matrix, hx.mdevs[1].guest_matrix) == (MATRICES[1], MATRICES[1])


def test_V47_an_adapter_of_another_mdev(hx):
    hx.host.log()
    assert hx.mdevs[1].write("assign_adapter", "6") == "EADDRINUSE"
    assert hx.host.log() == refusals(hx, U2, "06.0047", "06.00ff", other=U3)
    assert (hx.mdevs[1].matrix, hx.mdevs[1].guest_matrix) == (MATRICES[1], MATRICES[1])


def test_V48_an_adapter_in_use_cannot_go_back_to_the_host(hx):
    before = hx.host.masks()
    hx.host.log()
    assert hx.host.apmask("+5") == "EBUSY"
    assert hx.host.log() == [
        f"vfio_ap_mdev {U2}: Can not reserve queue {queue} for host driver: in use by mdev"
        for queue in ("05.0047", "05.00ff")
    ]
    assert hx.host.masks() == before


def test_V49_nor_can_a_domain(hx):
    before = hx.host.masks()
    assert hx.host.aqmask("+4") == "EBUSY"
    assert hx.host.masks() == before


def test_V50_clearing_bits_is_never_refused(hx):
    assert hx.host.aqmask("-0x10") == "ok"
    assert hx.host.apmask("-7") == "ok"


def test_V51_a_refused_mask_changes_not_even_the_free_bit(hx):
    assert hx.host.apmask("-7") == "ok"
    before = hx.host.masks()
    assert hx.host.apmask("+5,+7") == "EBUSY"
    assert hx.host.masks() == before
    assert 7 not in Mask.parse_hex(before[0])


def test_V52_queues_of_running_guests_are_in_use(hx):
    for mdev in hx.mdevs:
        mdev.start()
    assert hx.host.status("05.0004") == "in use\n"
    assert hx.host.status("06.00ff") == "in use\n"


def test_V53_without_guests_they_are_assigned(hx):
    assert {hx.host.status(queue) for queue in hx.host.queues()} == {"assigned\n"}
