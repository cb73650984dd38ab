"""Following the changes that a tree reports is enough to know the tree at any time: faces' caches rely on it."""

from __future__ import annotations

import pytest

from apmatrix.arch import Mask
from apmatrix.linux.core.sysfs import ChangeKind, Kind, TreeChange
from support.host import TYPE, U1, U2, USAGE, Background, Host


class Mirror:
    """The names of all entries, kept up to date by changes alone: an added directory is looked through once."""

    def __init__(self, host: Host) -> None:
        self.sysfs = host.sysfs
        self.entries = self.below("")
        self.notes: list[str] = []
        host.sysfs.subscribe(self.follow)

    def below(self, path: str) -> set[str]:
        found: set[str] = set()
        for name in self.sysfs.list(path):
            entry = f"{path}/{name}".lstrip("/")
            found.add(entry)
            if self.sysfs.stat(entry).kind is Kind.DIRECTORY:
                found |= self.below(entry)
        return found

    def follow(self, change: TreeChange) -> None:
        path = f"{change.directory}/{change.name}".lstrip("/")
        if change.kind is ChangeKind.NOTIFY:
            self.notes.append(path)
            return
        self.entries = {entry for entry in self.entries if entry != path and not entry.startswith(path + "/")}
        if change.kind is ChangeKind.ADDED:
            self.entries.add(path)
            if self.sysfs.stat(path).kind is Kind.DIRECTORY:
                self.entries |= self.below(path)

    def check(self) -> None:
        now = self.below("")
        assert (self.entries - now, now - self.entries) == (set(), set())


def apmask(text):
    return lambda host: host.apmask(text)


STEPS = [
    ("mask away", apmask("-5,-6")),
    ("mask back", apmask("+5")),
    ("mask away again", apmask("-5")),
    ("unbind", lambda host: host.unbind("vfio_ap", "05.0004")),
    ("bind", lambda host: host.bind("vfio_ap", "05.0004")),
    ("create", lambda host: host.create(U1)),
    ("create another", lambda host: host.create(U2)),
    ("assign", lambda host: host.write(f"devices/vfio_ap/matrix/{U1}/ap_config", f"{Mask.of(5)},{Mask.of(4)},\n")),
    ("start", lambda host: host.system.vmm.start(U1)),
    ("remove one", lambda host: host.write(f"devices/vfio_ap/matrix/{U2}/remove", "1")),
    ("create it again", lambda host: host.write(f"{TYPE}/create", U2)),
    ("adapter leaves", lambda host: host.set_profile(adapters=Mask.of(5))),
    ("adapter returns", lambda host: host.set_profile(adapters=Mask.of(5, 6))),
    ("domain joins", lambda host: host.set_profile(usage=USAGE | Mask.of(0x10))),
    ("domain leaves", lambda host: host.set_profile(usage=USAGE - Mask.of(4))),
    ("stop", lambda host: host.system.vmm.find(U1).stop()),
    ("unload", lambda host: host.system.unload_vfio_ap()),
    ("load", lambda host: host.system.load_vfio_ap()),
]


@pytest.mark.parametrize("kinds", [{5: "CEX5C", 6: "CEX5A"}, {5: "CEX8P", 6: "CEX8C"}])
def test_every_step_tells_all_changes(kinds):
    host = Host(cards=kinds)
    mirror = Mirror(host)
    for name, step in STEPS:
        step(host)
        try:
            mirror.check()
        except AssertionError as error:
            raise AssertionError(f"after {name!r}: {error}") from error
    host.close()


def test_a_removal_that_waits_tells_what_is_gone():
    host = Host()
    assert host.apmask("-5,-6") == "ok"
    mdev = host.create().assigned((5,), (4,))
    guest = mdev.start()
    mirror = Mirror(host)
    writer: Background = host.background(lambda: mdev.write("remove", "1"))
    mirror.check()
    assert f"{mdev.path}/matrix" not in mirror.entries
    guest.stop()
    assert writer.finish() == "ok"
    mirror.check()
    assert mdev.path not in mirror.entries
    host.close()


def test_who_stopped_to_listen_hears_nothing():
    host = Host()
    seen: list[TreeChange] = []
    stop = host.sysfs.subscribe(seen.append)
    assert host.apmask("-5") == "ok"
    count = len(seen)
    assert count
    stop()
    assert host.apmask("+5") == "ok"
    assert len(seen) == count
    host.close()
