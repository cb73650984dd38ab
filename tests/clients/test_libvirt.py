"""libvirtd of this Debian with udevd, unmodified: node devices."""

import re

import pytest

from .conftest import U1, need

DEVICE = f"mdev_{U1.replace('-', '_')}_matrix"
DEFINITION = f"""<device><parent>ap_matrix</parent><capability type='mdev'><type id='vfio_ap-passthrough'/>
<uuid>{U1}</uuid><attr name='assign_adapter' value='5'/><attr name='assign_domain' value='4'/>
</capability></device>"""

# What its packages would set up on the real machine is made in the private /etc and on private file systems.
START = """
for directory in /var/log /var/cache /var/lib; do mount -t tmpfs none $directory; done
mkdir -p /var/log/libvirt /var/cache/libvirt /var/lib/libvirt
grep -q libvirt-qemu /etc/passwd || echo 'libvirt-qemu:x:64055:64055::/:/bin/false' >> /etc/passwd
grep -q libvirt-qemu /etc/group || printf 'libvirt-qemu:x:64055:\\nkvm:x:64056:\\n' >> /etc/group
libvirtd > /run/libvirtd.log 2>&1 &
until [ -S /run/libvirt/libvirt-sock ]; do kill -0 $! || { cat /run/libvirtd.log; exit 1; }; sleep 0.1; done
"""


@pytest.fixture(autouse=True)
def _libvirt():
    need("udev", "udevadm", "systemd-udevd")
    need("mdevctl", "mdevctl")
    need("libvirt-daemon", "libvirtd")
    need("libvirt-clients", "virsh")


def virsh(host, script):
    """What a script with ``virsh`` in a host with udevd prints."""
    return host.sh(f"{START}\nexport LIBVIRT_DEFAULT_URI=nodedev:///system\n{script}", "--udev")


def test_cards_queues_and_the_matrix_are_listed(host):
    out = virsh(host, "for kind in ap_card ap_queue ap_matrix; do virsh nodedev-list --cap $kind; done")
    names = out.split()
    assert names[:2] == ["ap_card05", "ap_card06"]
    assert "ap_05_00ab" in names
    assert len(names) == 2 + 8 + 1
    assert names[-1] == "ap_matrix"


def test_xml_of_the_devices(host):
    out = virsh(host, "for name in ap_06_0047 ap_card06 ap_matrix; do virsh nodedev-dumpxml $name; done")
    assert "<path>/sys/devices/ap/card06/06.0047</path>" in out
    assert re.search(
        r"<name>cex4queue</name>.*<ap-adapter>0x06</ap-adapter>\s*<ap-domain>0x0047</ap-domain>", out, re.DOTALL
    )
    assert "<availableInstances>65536</availableInstances>" in out


def test_define_start_destroy_undefine(host):
    out = virsh(
        host,
        f"/bin/echo -5 > /sys/bus/ap/apmask; cat > /run/mdev.xml <<'X'\n{DEFINITION}\nX\n"
        f"virsh nodedev-define /run/mdev.xml; virsh nodedev-list --cap mdev --inactive; virsh nodedev-start {DEVICE};"
        f"cat /sys/bus/mdev/devices/{U1}/matrix; virsh nodedev-dumpxml {DEVICE}; virsh nodedev-destroy {DEVICE};"
        f"ls /sys/bus/mdev/devices; virsh nodedev-undefine {DEVICE};"
        # libvirtd hears of its own doings through mdevctl's files, a little later.
        "until [ -z $(virsh nodedev-list --cap mdev --all) ]; do sleep 0.1; done; echo nothing is left",
    )
    assert f"{DEVICE}\n" in out
    assert f"Device {DEVICE} started\n\n05.0004\n" in out
    assert "<attr name='assign_domain' value='4'/>" in out
    assert "<iommuGroup number=" in out
    assert out.endswith(f"Undefined node device '{DEVICE}'\n\nnothing is left\n")


def test_a_refused_start_repeats_mdevctls_words(host):
    """The queue belongs to the host's own drivers."""
    out = virsh(
        host,
        f"cat > /run/mdev.xml <<'X'\n{DEFINITION}\nX\n"
        f"virsh nodedev-define /run/mdev.xml; virsh nodedev-start {DEVICE} 2>&1; true",
    )
    assert "Cannot assign requested address" in out
