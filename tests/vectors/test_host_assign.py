"""Vectors V62 to V77: what may be assigned (host.md 8.6)."""

from apmatrix.arch import Facility, Mask, Matrix
from support.host import GIVE_ALL_CARDS, U1, U2, h1


def test_V62_an_adapter_alone_has_no_queue(h0_host):
    mdev = h0_host.create()
    assert mdev.write("assign_adapter", "5") == "ok"
    assert (mdev.matrix, mdev.guest_matrix) == ("05.", "05.")


def test_V63_with_a_domain_it_has_queues_of_the_host(h0_host):
    mdev = h0_host.create().assigned((5,))
    h0_host.log()
    assert mdev.write("assign_domain", "4") == "EADDRNOTAVAIL"
    assert (mdev.matrix, mdev.guest_matrix) == ("05.", "05.")
    assert h0_host.log() == []


def test_V64_the_other_way_round(h0_host):
    mdev = h0_host.create().assigned((5,))
    assert mdev.write("unassign_adapter", "5") == "ok"
    assert mdev.write("assign_domain", "4") == "ok"
    assert mdev.matrix == ".0004"
    assert mdev.write("assign_adapter", "5") == "EADDRNOTAVAIL"
    assert mdev.matrix == ".0004"


def test_V65_one_queue_of_the_host_refuses_the_domain(h0_host):
    assert h0_host.apmask("-5") == "ok"
    mdev = h0_host.create()
    assert mdev.assign((5, 6), (4,)) == ["ok", "ok", "EADDRNOTAVAIL"]
    assert (mdev.matrix, mdev.guest_matrix) == ("05.|06.", "05.|06.")
    assert h0_host.status("05.0004") == "unassigned\n"


def test_V66_V67_over_provisioning(h0_host):
    assert h0_host.apmask("-5,-9") == "ok"
    mdev = h0_host.create().assigned((9,), (4,))
    assert (mdev.matrix, mdev.guest_matrix) == ("09.0004", ".0004")
    assert mdev.write("assign_adapter", "5") == "ok"
    assert (mdev.matrix, mdev.guest_matrix) == ("05.0004|09.0004", "05.0004")


def test_V68_a_domain_that_the_host_does_not_use(mdev):
    mdev.assigned((5,), ("0x10",))
    assert (mdev.matrix, mdev.guest_matrix) == ("05.0010", "05.")


def test_V69_control_domains(mdev):
    assert [mdev.write("assign_control_domain", text) for text in ("0x10", "3")] == ["ok", "ok"]
    assert mdev.control_domains == "0003|0010"
    assert mdev.matrix == ""
    assert mdev.start().level.matrix.adm == Mask.of(0x10)


def test_V70_control_domains_are_not_exclusive(h1_host):
    for uuid in (U1, U2):
        mdev = h1_host.create(uuid)
        assert mdev.write("assign_control_domain", "4") == "ok"
        assert mdev.control_domains == "0004"


def test_V71_a_queue_of_the_host_is_reported_first(h0_host):
    assert h0_host.apmask("-5") == "ok"
    h0_host.create(U1).assigned((5,), (4,))
    other = h0_host.create(U2).assigned((5, 6))
    h0_host.log()
    assert other.write("assign_domain", "4") == "EADDRNOTAVAIL"
    assert h0_host.log() == []
    assert other.matrix == "05.|06."


def test_V72_a_mask_may_take_back_what_no_mdev_uses(h1_host):
    mdev = h1_host.create().assigned((5,))
    assert h1_host.apmask("+5") == "ok"
    assert h1_host.driver("05.0004") == "cex4queue"
    assert mdev.write("assign_domain", "4") == "EADDRNOTAVAIL"
    assert mdev.matrix == "05."


def test_V73_the_other_mask_is_not_looked_at(h0_host):
    assert (h0_host.apmask("-5"), h0_host.aqmask("-4")) == ("ok", "ok")
    h0_host.create().assigned((5,), (4,))
    before = h0_host.masks()
    assert h0_host.apmask("+5") == "EBUSY"
    assert h0_host.masks() == before


def test_V74_an_overridden_queue_is_not_the_hosts(h0_host):
    h0_host.override("05.0004", "vfio_ap")
    h0_host.unbind("cex4queue", "05.0004")
    h0_host.probe("05.0004")
    mdev = h0_host.create()
    assert mdev.assign((5,), (4, "0x47")) == ["ok", "ok", "EADDRNOTAVAIL"]
    assert (mdev.matrix, mdev.guest_matrix) == ("05.0004", "05.0004")


def test_V75_an_override_counts_by_the_driver_that_is_bound(h0_host):
    h0_host.override("05.0004", "vfio_ap")
    mdev = h0_host.create()
    assert mdev.assign((5,), (4,)) == ["ok", "EADDRNOTAVAIL"]
    assert h0_host.unbind("cex4queue", "05.0004") == "ok"
    assert mdev.write("assign_domain", "4") == "EADDRNOTAVAIL"


def test_V76_a_matrix_is_cut_at_4095_bytes(h1_host):
    assert (h1_host.apmask("\n"), h1_host.aqmask("\n")) == ("ok", "ok")
    mdev = h1_host.create()
    config = f"{Mask.up_to(63)},{Mask.up_to(15)},\n"
    assert mdev.write("ap_config", config) == "ok"
    content = mdev.read("matrix")
    assert len(content) == 4095
    assert content == "".join(f"{code >> 4:02x}.{code & 15:04x}\n" for code in range(512))[:-1]
    assert content.endswith("1f.000f")


def test_V77_without_qci(make_host):
    host = make_host(facilities=(Facility.APFT, Facility.MSA3), matrix=Matrix(Mask.of(5, 6), Mask.of(4), Mask.of(4)))
    assert host.apmask(GIVE_ALL_CARDS) == "ok"
    assert host.on("vfio_ap") == ["05.0004", "06.0004"]
    mdev = host.create().assigned((5,), (4,))
    assert (mdev.matrix, mdev.guest_matrix) == ("05.0004", "")
    assert mdev.assign((64,), (16,)) == ["ENODEV", "ENODEV"]


def test_V104_limits_are_those_of_the_machine(make_host):
    host = make_host(h1, max_domain=84, matrix=Matrix(Mask.of(5, 6), Mask.of(4, 0x47), Mask.of(4, 0x10, 0x47)))
    mdev = host.create()
    config = f"{Mask()},{Mask()},"
    assert mdev.write("ap_config", config + f"{Mask.of(85)}\n") == "ENODEV"
    assert mdev.control_domains == ""
    assert mdev.write("ap_config", config + f"{Mask.of(84)}\n") == "ok"
    assert mdev.control_domains == "0054"
