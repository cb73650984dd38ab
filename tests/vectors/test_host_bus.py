"""Vectors V1 to V9: what the AP bus shows (host.md 8.1)."""

import pytest

from apmatrix.arch import Facility, Mask, Matrix
from support.host import ONES, ZEROS

H0_READS = {
    "V1": [("ap_max_adapter_id", "63\n"), ("ap_max_domain_id", "255\n")],
    "V2": [("ap_adapter_mask", "0x06" + "0" * 62 + "\n")],
    "V3": [("ap_usage_domain_mask", "0x0800000000000000010000000000000000000000001000000000000000000001\n")],
    "V4": [("ap_control_domain_mask", "0x0800800000000000010000000000000000000000001000000000000000000001\n")],
    "V5": [("apmask", ONES + "\n"), ("aqmask", ONES + "\n")],
    "V6": [("features", "APSC APXA QACT RC8A\n"), ("bindings", "8/8 (complete)\n")],
}


@pytest.mark.parametrize("reads", H0_READS.values(), ids=H0_READS)
def test_h0_reads(h0_host, reads):
    assert [(name, h0_host.bus(name)) for name, _ in reads] == reads


def test_V7_without_qci(make_host):
    host = make_host(facilities=(Facility.APFT, Facility.MSA3))
    assert host.bus("features") == "-\n"
    for name in ("ap_adapter_mask", "ap_usage_domain_mask", "ap_control_domain_mask"):
        assert host.bus(name) == "not supported\n"
    assert (host.bus("ap_max_adapter_id"), host.bus("ap_max_domain_id")) == ("63\n", "15\n")


def test_V8_masks_given_at_boot(make_host):
    domains = Mask.of(0, 1, 2)
    host = make_host(
        cards={5: "CEX5C", 15: "CEX5A", 16: "CEX5A"},
        matrix=Matrix(Mask.of(5, 15, 16), domains, domains),
        apmask="0xffff",
        aqmask="0x40",
    )
    assert host.masks() == ("0xffff" + "0" * 60, "0x40" + "0" * 62)
    assert host.on("cex4queue") == ["05.0001", "0f.0001"]
    assert len(host.on("vfio_ap")) == 7


@pytest.mark.parametrize(
    ("given", "mask"), [("+5", "0x04" + "0" * 62), ("zz", ZEROS)], ids=["V9-relative", "V9-error"]
)
def test_boot_masks_start_from_zero(make_host, given, mask):
    host = make_host(apmask=given)
    assert host.masks() == (mask, ONES)
