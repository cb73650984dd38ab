"""The layers over /etc, and the mount that goes from one command to the next."""

HANDOVER = """
import os
from pathlib import Path
from apmatrix.faces.layers import cover_etc

class Handover:
    def __init__(self, mount, name):
        self.mount, self.name = mount, name

    def take(self):
        return self.mount, self.name

    def give(self, mount):
        self.mount = mount

layers = Path("/run/layers")
own_user = os.geteuid() != 0 or Path("/proc/self/uid_map").read_text().split()[2] == "1"
first = Handover(None, "work1")
cover_etc(layers, first, own_user=own_user)
Path("/etc/new").write_text("kept")
"""


def test_who_is_given_the_mount_makes_none(place):
    """What is covered with it once more shows the same."""
    result = place.do(
        HANDOVER + "next = Handover(first.mount, 'work2')\n"
        "cover_etc(layers, next, own_user=own_user)\n"
        "Path('/etc/new').write_text('changed')\n"
        "result = [Path('/run/layers/upper/new').read_text(), next.mount is not None,"
        " sorted(os.listdir('/run/layers'))]"
    )
    assert result == ["changed", True, ["upper", "work1"]]


def test_who_cannot_use_what_he_is_given_makes_his_own(place):
    """With the same changes below it, and without the other's directory."""
    result = place.do(
        HANDOVER + "os.close(first.mount)\n"
        "next = Handover(os.open('/dev/null', os.O_RDONLY), 'work2')\n"
        "cover_etc(layers, next, own_user=own_user)\n"
        "result = [Path('/etc/new').read_text(), next.mount is not None, sorted(os.listdir('/run/layers'))]"
    )
    assert result == ["kept", True, ["upper", "work1", "work2"]]
