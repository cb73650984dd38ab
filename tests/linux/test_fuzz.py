"""Whatever is written to whatever attribute, the answer is an errno or the number of bytes."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apmatrix.linux.core.sysfs import Kind
from support.host import TYPE, U1, U2, Host
from support.sysops import errno_name

MDEV = f"devices/vfio_ap/matrix/{U1}"
FILES = [
    *(f"bus/ap/{name}" for name in ("apmask", "aqmask", "ap_domain", "config_time", "poll_timeout", "poll_thread")),
    *(f"bus/ap/{name}" for name in ("scans", "drivers_probe", "drivers_autoprobe", "uevent")),
    *(f"bus/ap/drivers/{driver}/{verb}" for driver in ("vfio_ap", "cex4queue") for verb in ("bind", "unbind")),
    *(f"devices/ap/card05/{name}" for name in ("config", "online", "request_count", "uevent")),
    *(f"devices/ap/card05/05.0004/{name}" for name in ("driver_override", "online", "request_count", "reset")),
    *(f"{MDEV}/{sign}assign_{kind}" for sign in ("", "un") for kind in ("adapter", "domain", "control_domain")),
    f"{MDEV}/ap_config",
    f"{MDEV}/remove",
    f"{TYPE}/create",
    "bus/mdev/drivers/vfio_ap_mdev/unbind",
    "bus/mdev/drivers_probe",
]
contents = st.one_of(
    st.binary(max_size=80),
    st.text("0123456789abcdefxX+-,.\n \0", max_size=80).map(str.encode),
    st.sampled_from(
        [b"05.0004", b"05.0047\n", b"card05", U1.encode(), U2.encode() + b"\n", b"1", b"add", b"9" * 4200]
    ),
    st.integers(0, 8192).map(lambda size: b"f" * size),
)


def answer(operation, *arguments):
    """What came back, or the name of the errno; anything else is raised."""
    try:
        return operation(*arguments)
    except OSError as error:
        return errno_name(error)


@given(
    writes=st.lists(st.tuples(st.sampled_from(FILES), contents), max_size=25),
    policy=st.sampled_from(["linux", "protective"]),
)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_any_write_is_answered(writes, policy):
    host = Host(policy=policy)
    host.apmask("-5")
    host.create(U1)
    for path, content in writes:
        given_back = answer(host.sysfs.write, path, content)
        assert given_back in (len(content), 4096) or str(given_back).startswith("E")
    for path in walk(host, ""):
        assert isinstance(answer(host.sysfs.read, path), bytes | str)
    host.close()


def walk(host, path):
    """All readable attributes below a directory, except those that ask a card."""
    for name in host.sysfs.list(path):
        below = f"{path}/{name}" if path else name
        stat = host.sysfs.stat(below)
        if stat.kind is Kind.DIRECTORY:
            yield from walk(host, below)
        elif stat.kind is Kind.FILE and stat.mode & 0o444 and name not in ("mkvps", "serialnr", "op_modes"):
            yield below


PARTS = ("bus", "ap", "..", ".", "", "devices", "card05", "05.0004", "driver", "\0", "x" * 300)


@given(st.lists(st.sampled_from(PARTS)))
def test_any_path_is_answered(parts):
    path = "/".join(parts)
    for operation in (HOST.sysfs.read, HOST.sysfs.list, HOST.sysfs.readlink, HOST.sysfs.stat, HOST.sysfs.realpath):
        assert answer(operation, path) is not None
    assert answer(HOST.sysfs.write, path, b"1") in ("ENOENT", "ENOTDIR", "EISDIR", "EACCES", "EINVAL", 1)


HOST = Host()
