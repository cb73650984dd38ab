"""The operations in process print what sysops.c prints."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.host import U1, Host
from support.sysops import SysOps, errno_name, escape, is_answer, unescape


@given(st.binary(max_size=40))
def test_what_is_escaped_can_be_written_again(data):
    text = escape(data)
    assert text.isascii()
    assert text.isprintable()
    assert unescape(text) == data


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a\\nb", b"a\nb"),
        ("\\t\\\\", b"\t\\"),
        ("\\x41\\x0", b"A\0"),
        ("\\q", b"q"),
        ("-5,-6", b"-5,-6"),
        ("\\", b"\\"),
    ],
)
def test_escapes(text, data):
    assert unescape(text) == data


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (errno.EOPNOTSUPP, "EOPNOTSUPP"),
        (errno.EADDRNOTAVAIL, "EADDRNOTAVAIL"),
        (errno.EAGAIN, "EAGAIN"),
        (999, "errno999"),
    ],
)
def test_errno_names(number, name):
    assert errno_name(OSError(number, "")) == name


def test_answers_are_told_from_operations():
    lines = ["# scenario 1", "W a b", "= ok 2", "S", '  apmask "0x0\\n"', '    matrix ""', "g uuid", ""]
    assert [is_answer(line) for line in lines] == [False, False, True, False, True, True, False, False]


@pytest.fixture
def operations():
    host = Host()
    host.apmask("-5,-6")
    host.create(U1)
    yield SysOps(host.system)
    host.close()


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("R bus/ap/features", '= "APSC APXA QACT RC8A\\n"'),
        ("R bus/ap/drivers_probe", "= EACCES"),
        ("W bus/ap/apmask -9\\n", "= ok 3"),
        ("W bus/ap/apmask zz", "= EINVAL"),
        ("W bus/ap/apmask ", "= ok 0"),
        ("W bus/ap/nothing 1", "= ENOENT"),
        ("D bus/ap/devices/05.0004", "= vfio_ap"),
        ("D bus/ap/devices/05.0010", "= -"),
        ("L bus/ap/drivers", "= cex4card cex4queue vfio_ap "),
        ("L bus/ap/nothing", "= ENOENT"),
        (f"G {U1}", "= rc 0"),
        ("G ffffffff-0000-4000-8000-000000000000", "= rc 1"),
        (f"g {U1}", "= rc 1"),
    ],
)
def test_operations(operations, line, answer):
    assert list(operations.run(line)) == [line, answer]


@pytest.mark.parametrize("line", ["", "# text"])
def test_text_is_echoed(operations, line):
    assert list(operations.run(line)) == [line]


def test_a_snapshot_shows_masks_queues_and_mdevs(operations):
    lines = list(operations.run("S"))
    assert lines[:3] == ["S", '  apmask "0xf9' + "f" * 62 + '\\n"', '  aqmask "0x' + "f" * 64 + '\\n"']
    assert lines[3:5] == ['  bindings "8/8 (complete)\\n"', '  ap_domain "4\\n"']
    assert lines[5] == '  05.0004 vfio_ap "unassigned\\n"'
    assert lines[13:17] == [f"  {U1}", '    matrix ""', '    guest_matrix ""', '    control_domains ""']
    assert lines[-1] == '  available "65535\\n"'
    assert len(lines) == 19
