"""lszcrypt, chzcrypt, lszdev and chzdev of s390-tools for s390x, unmodified, under qemu-user."""

import re

import pytest

from .conftest import THREE, ClientHost


@pytest.fixture
def path(s390x):
    """Puts the tools first in the path."""
    return f"export PATH={s390x}:$PATH;"


def queues(listing):
    """The queues of an ``lszcrypt`` listing with the words behind them."""
    return {line.split()[0]: line.split()[1:] for line in listing.splitlines() if re.match(r"[0-9a-f]{2}\.", line)}


def test_lszcrypt_in_the_host(host, path):
    host.file = THREE
    out = queues(host.sh(f"{path} lszcrypt -V"))
    assert sorted(out) == [f"{card}.{domain}" for card in ("05", "06") for domain in ("0004", "0047", "00ab", "00ff")]
    assert out["05.0004"][:4] == ["CEX5C", "CCA-Coproc", "in", "use"]
    assert out["06.00ff"][:2] == ["CEX5A", "Accelerator"]
    assert {words[-1] for words in out.values()} == {"vfio_ap"}


@pytest.mark.parametrize(
    ("guest", "expected"),
    [
        ("guest1", ["05.0004", "05.00ab", "06.0004", "06.00ab"]),
        ("guest2", ["05.0047", "05.00ff"]),
        ("guest3", ["06.0047", "06.00ff"]),
    ],
)
def test_lszcrypt_in_each_guest(tmp_path, path, guest, expected):
    """What the kernel's document prints for its three guests."""
    out = queues(ClientHost(tmp_path, THREE).sh(f"{path} lszcrypt", "--guest", guest))
    assert sorted(out) == expected
    kinds = {"05": ["CEX5C", "CCA-Coproc"], "06": ["CEX5A", "Accelerator"]}
    assert all(words[:3] == [*kinds[queue[:2]], "online"] for queue, words in out.items())


def test_lszcrypt_tells_of_the_bus_and_the_domains(host, path):
    out = host.sh(f"{path} lszcrypt -b; lszcrypt -d; lszcrypt -c 5")
    assert "ap_domain=0x4\nap_max_domain_id=0xff\n" in out
    assert re.search(r"^    40( {2}\.){7}  B( {2}\.){8}$", out, re.MULTILINE)
    assert "card05 provides capability for:\n" in out


def test_chzcrypt_switches_cards_and_queues(host, path):
    out = host.sh(
        f"{path} chzcrypt -V -d 05.0047; chzcrypt -d 6; chzcrypt -t 120; chzcrypt -q 4; lszcrypt; lszcrypt -b;"
        "chzcrypt -e 6; lszcrypt 6"
    )
    listed = queues(out.partition("ap_domain")[0])
    assert listed["05.0047"][2] == "offline"
    assert listed["05.0004"][2] == "online"
    assert {words[2] for queue, words in listed.items() if queue.startswith("06.")} == {"offline"}
    assert "poll_timeout" in out
    assert queues(out.partition("poll_timeout")[2])["06.0004"][2] == "online"


def test_chzcrypt_configures_a_card_off_and_on(host, path):
    out = host.sh(f"{path} chzcrypt --config-off 5; lszcrypt -V 5; chzcrypt --config-on 5; lszcrypt 5")
    assert "05       CEX8C CCA-Coproc  deconfig" in out
    assert queues(out)["05.0004"][2] == "online"


def test_chzcrypt_repeats_the_kernels_refusal(host, path):
    """A queue that belongs to vfio_ap has no ``online``."""
    done = host.run(f"{path} /bin/echo -5 > /sys/bus/ap/apmask; chzcrypt -d 05.0004")
    assert done.returncode != 0
    assert "can't write to /sys/bus/ap/devices/card05/05.0004/online" in done.stderr


def test_chzdev_reserves_queues_and_keeps_that_over_a_reboot(host, path):
    """The rule that it writes is applied by udevd at BINDINGS=complete."""
    host.up()
    out = host.sh(f"{path} chzdev -t ap apmask=-5 aqmask=-0x47; cat /sys/bus/ap/a?mask; lszdev -t ap")
    assert "ap device type configured" in out
    assert f"0xfb{'f' * 62}\n0xfffffffffffffffffe{'f' * 46}\n" in out
    assert re.search(r'apmask +"0-4,6-255" +"0-4,6-255"', out)
    host.reboot()
    assert host.sh("cat /sys/bus/ap/apmask") == f"0x{'f' * 64}\n"
    out = host.sh("cat /sys/bus/ap/a?mask", "--udev")
    assert out == f"0xfb{'f' * 62}\n0xfffffffffffffffffe{'f' * 46}\n"


def test_chzdev_says_nothing_of_a_refused_mask(host, path):
    """It ignores what the kernel answers, EBUSY here, and reports success."""
    host.file = THREE
    out = host.sh(f"{path} chzdev -t ap -a -f apmask=+5; cat /sys/bus/ap/apmask; apmatrix log")
    assert f"ap device type configured\n0xf9{'f' * 62}\n" in out
    assert "Can not reserve queue 05.00ff for host driver: in use by mdev" in out
