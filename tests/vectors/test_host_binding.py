"""Vectors V29 to V39: who owns and drives a queue (host.md 8.3)."""

import pytest

from apmatrix.arch import Facility, Mask, Matrix
from support.host import FACILITIES


def test_V29_one_domain(h0_host):
    assert h0_host.aqmask("-4") == "ok"
    assert h0_host.on("vfio_ap") == ["05.0004", "06.0004"]
    assert len(h0_host.on("cex4queue")) == 6


def test_V30_one_adapter(h0_host):
    for name in ("online", "load"):
        assert h0_host.attribute("05.0004", name) != "ENOENT"
    assert h0_host.status("05.0004") == "ENOENT"
    assert h0_host.apmask("-5") == "ok"
    assert h0_host.on("vfio_ap") == ["05.0004", "05.0047", "05.00ab", "05.00ff"]
    assert h0_host.on("cex4queue") == ["06.0004", "06.0047", "06.00ab", "06.00ff"]
    assert h0_host.driver("card05") == "cex4card"
    for name in ("online", "mkvps", "load"):
        assert h0_host.attribute("05.0004", name) == "ENOENT"
    assert h0_host.status("05.0004") == "unassigned\n"


def test_V30_what_a_coprocessor_tells_of_its_keys(make_host):
    host = make_host(facilities=(*FACILITIES, Facility.AQIC))  # with interrupts a reply needs no poll timer
    lines = host.attribute("05.0004", "mkvps").splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        f"{key} {register}" for key in ("AES", "APKA", "ASYM") for register in ("NEW", "CUR", "OLD")
    ]
    assert host.apmask("-5") == "ok"
    assert host.attribute("05.0004", "mkvps") == "ENOENT"


def test_V31_the_default_drivers_have_a_product(make_host):
    domains = Mask.of(0, 1, 2)
    host = make_host(cards=dict.fromkeys(range(10), "CEX5C"), matrix=Matrix(Mask.up_to(9), domains, domains))
    assert (host.apmask("0x7d"), host.aqmask("0x80")) == ("ok", "ok")
    assert host.on("cex4queue") == ["01.0000", "02.0000", "03.0000", "04.0000", "05.0000", "07.0000"]
    assert len(host.on("vfio_ap")) == 24


def test_V32_a_driver_does_not_take_a_queue_of_others(h1_host):
    assert h1_host.unbind("vfio_ap", "05.0004") == "ok"
    assert h1_host.bind("cex4queue", "05.0004") == "ENODEV"
    assert h1_host.driver("05.0004") == "-"
    assert h1_host.bus("bindings") == "7/8\n"


def test_V33_a_bound_queue_cannot_be_bound(h1_host):
    assert h1_host.bind("vfio_ap", "05.0004") == "EBUSY"
    assert h1_host.bind("cex4queue", "05.0004") == "EBUSY"
    assert h1_host.driver("05.0004") == "vfio_ap"


@pytest.mark.parametrize("name", ["05.0004", "05.0004\n", "05.0010", "card05", "nonsense"])
def test_V34_only_the_driver_that_has_it_can_give_it_up(h1_host, name):
    assert h1_host.unbind("cex4queue", name) == "ENODEV"
    assert h1_host.driver("05.0004") == "vfio_ap"


def test_V35_without_vfio_ap_the_rest_stays_unbound_until_it_is_loaded(make_host):
    host = make_host(vfio_ap=False)
    assert host.apmask("-5") == "ok"
    assert host.on("-") == ["05.0004", "05.0047", "05.00ab", "05.00ff"]
    assert host.bus("bindings") == "4/8\n"
    host.system.load_vfio_ap()
    assert host.on("vfio_ap") == ["05.0004", "05.0047", "05.00ab", "05.00ff"]
    assert host.bus("bindings") == "8/8 (complete)\n"


@pytest.fixture
def overridden(h0_host):
    """V36: 05.0004 moved to vfio_ap by an override."""
    assert h0_host.override("05.0004", "vfio_ap\n") == "ok"
    assert h0_host.driver("05.0004") == "cex4queue"
    assert h0_host.unbind("cex4queue", "05.0004") == "ok"
    assert h0_host.probe("05.0004") == "ok"
    return h0_host


def test_V36_an_override_moves_one_queue(overridden):
    assert overridden.attribute("05.0004", "driver_override") == "vfio_ap\n"
    assert overridden.on("vfio_ap") == ["05.0004"]


@pytest.mark.parametrize("text", ["-7", "+7", "\n", "zz"])
def test_V37_masks_cannot_be_written_while_an_override_is_set(overridden, text):
    before = overridden.masks()
    assert overridden.apmask(text) == "EINVAL"
    assert overridden.aqmask(text) == "EINVAL"
    assert overridden.masks() == before


def test_V38_overrides_cannot_be_set_while_masks_are_in_use(h1_host):
    assert h1_host.override("05.0004", "vfio_ap\n") == "EINVAL"
    assert h1_host.attribute("05.0004", "driver_override") == "\n"
    assert h1_host.apmask("+5,+6") == "ok"
    assert h1_host.override("05.0004", "vfio_ap\n") == "ok"


def test_V39_the_override_of_a_queue_that_went_blocks_the_masks(h0_host):
    assert h0_host.override("06.0004", "vfio_ap") == "ok"
    h0_host.set_profile(adapters=Mask.of(5))
    assert h0_host.devices() == ["05.0004", "05.0047", "05.00ab", "05.00ff", "card05"]
    assert h0_host.apmask("-5") == "EINVAL"
