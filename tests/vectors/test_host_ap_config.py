"""Vectors V94 to V107: ap_config (host.md 8.8); H1, a fresh mdev."""

import pytest

from apmatrix.arch import Mask, Matrix
from apmatrix.cards import QueueFunction
from support.host import ZEROS

TWO = "05.0004|06.0004"


@pytest.fixture
def set_up(mdev):
    """An mdev with both adapters, domain 4 and a control domain."""
    mdev.assigned((5, 6), (4,))
    assert mdev.write("assign_control_domain", "4") == "ok"
    return mdev


@pytest.mark.parametrize(
    ("text", "matrix", "control_domains"),
    [
        pytest.param("0x06,0x08,0x00\n", TWO, "", id="V94-newline"),
        pytest.param("0x06,0x08,0x00", TWO, "", id="V94"),
        pytest.param("0x06,0x08,0x08\n", TWO, "0004", id="V94-control"),
        pytest.param("0x06,0x08\n", TWO, "", id="V95"),
        pytest.param("0x06\n\n", "05.|06.", "", id="V97"),
        pytest.param(",,\n", "", "", id="V98-newline"),
        pytest.param(",,", "", "", id="V98"),
        pytest.param("0x06,0x08,0x00,zzz\n", TWO, "", id="V99"),
        pytest.param("06\n08\n00\nzzz", TWO, "", id="V99-newlines"),
    ],
)
@pytest.mark.parametrize("start", ["mdev", "set_up"])
def test_accepted(request, start, text, matrix, control_domains):
    mdev = request.getfixturevalue(start)
    assert mdev.write("ap_config", text) == "ok"
    assert (mdev.matrix, mdev.guest_matrix, mdev.control_domains) == (matrix, matrix, control_domains)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("0x06,0x08", id="V96"),
        pytest.param("0x06\n", id="V97"),
        pytest.param("0x06 ,0x08,0x00\n", id="V100-blank"),
        pytest.param("+5,+4,+0\n", id="V100-relative"),
        pytest.param(f"0x{'0' * 65},0x08,0x00\n", id="V100-long"),
        pytest.param("zz,0x08,0x00\n", id="V100-letters"),
    ],
)
def test_refused_and_nothing_changes(set_up, text):
    before = set_up.read("ap_config")
    assert set_up.write("ap_config", text) == "EINVAL"
    assert (set_up.read("ap_config"), set_up.guest_matrix) == (before, TWO)


def test_V98_clearing_takes_everything_from_a_running_guest(set_up):
    guest = set_up.start()
    assert guest.level.matrix == Matrix(Mask.of(5, 6), Mask.of(4), Mask.of(4))
    assert set_up.write("ap_config", ",,\n") == "ok"
    assert guest.level.matrix == Matrix()


def config(adapters, domains, control=()):
    return f"{Mask.of(*adapters)},{Mask.of(*domains)},{Mask.of(*control)}\n"


def test_V101_the_masks_come_before_the_range(set_up):
    before = set_up.read("ap_config")
    assert set_up.write("ap_config", config([200], [4])) == "EADDRNOTAVAIL"
    assert set_up.read("ap_config") == before


def test_V102_with_the_mask_bit_cleared_the_range_counts(set_up):
    assert set_up.host.apmask("-200") == "ok"
    before = set_up.read("ap_config")
    assert set_up.write("ap_config", config([200], [4])) == "ENODEV"
    assert set_up.read("ap_config") == before


def test_V103_without_domains_only_the_range_counts(set_up):
    before = set_up.read("ap_config")
    assert set_up.write("ap_config", config([199], [])) == "ENODEV"
    assert set_up.read("ap_config") == before


def test_V105_the_queues_of_another_mdev(hx):
    value, before = hx.mdevs[0].read("ap_config"), hx.mdevs[1].read("ap_config")
    hx.host.log()
    assert hx.mdevs[1].write("ap_config", value) == "EADDRINUSE"
    assert hx.mdevs[1].read("ap_config") == before
    assert hx.mdevs[1].guest_matrix == "05.0047|05.00ff"
    assert len(hx.host.log()) == 4


def test_V106_replacing_everything_under_a_guest(mdev):
    mdev.assigned((5,), (4,))
    guest = mdev.start()
    changes = guest.changes
    mdev.host.witness.seen.clear()
    value = config([6], [0x47])
    assert mdev.write("ap_config", value) == "ok"
    assert mdev.read("ap_config") == value
    assert (mdev.matrix, mdev.guest_matrix) == ("06.0047", "06.0047")
    assert guest.level.matrix == Matrix(Mask.of(6), Mask.of(0x47))
    assert mdev.host.witness.count(QueueFunction.ZAPQ, "05.0004") == 1
    assert guest.changes > changes + 1


def test_V106_kept_queues_are_not_reset(set_up):
    set_up.start()
    set_up.host.witness.seen.clear()
    assert set_up.write("ap_config", config([5], [4, 0x47])) == "ok"
    assert set_up.host.witness.zeroized() == {"06.0004"}


def test_V107_a_fresh_mdev(mdev):
    content = mdev.read("ap_config")
    assert content == f"{ZEROS},{ZEROS},{ZEROS}\n"
    assert len(content) == 201


def test_V99_only_201_bytes_are_looked_at(mdev):
    assert mdev.write("ap_config", config([5], [4]) + "rubbish") == "ok"
    assert mdev.write("ap_config", config([5], [4]).rstrip("\n") + "0") == "EINVAL"
