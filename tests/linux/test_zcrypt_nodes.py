"""Extra zcrypt nodes: names, masks, and files that outlive them (hardware.md 5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from apmatrix.linux.zcrypt import ModExpo
from support.zcrypt import Crypto, Storage, outcome

if TYPE_CHECKING:
    from apmatrix.linux.core import Uevent

KEY = (b"\0\x41", b"\0\x11", b"\x0c\xa1")
MODEXPO = 0xC0007A05


@pytest.fixture
def m():
    crypto = Crypto()
    yield crypto
    crypto.close()


def names(m):
    return [name for name in m.sysfs.list("class/zcrypt") if name not in ("create", "destroy")]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("box", "box"),
        ("  box \n", "box"),
        ("\n", "zcrypt_0"),
        ("x" * 40, "x" * 31),
        ("a" * 30 + "  b", "a" * 30),
        ("a/b", "a!b"),
    ],
)
def test_the_name_of_a_node(m, written, name):
    assert m.write("class/zcrypt/create", written) == "ok"
    assert names(m) == [name]
    assert m.sysfs.readlink(f"class/zcrypt/{name}") == f"../../devices/virtual/zcrypt/{name}"
    assert m.write("class/zcrypt/create", written if written.strip() else name) == "EEXIST"


def test_nodes_without_names_and_their_numbers(m):
    for _ in range(3):
        assert m.write("class/zcrypt/create", "\n") == "ok"
    assert names(m) == ["zcrypt_0", "zcrypt_1", "zcrypt_2"]
    assert m.write("class/zcrypt/destroy", "zcrypt_1") == "ok"
    assert m.write("class/zcrypt/create", "box") == "ok"
    numbers = [m.read(f"class/zcrypt/{name}/dev").partition(":")[2] for name in names(m)]
    assert numbers == ["1\n", "0\n", "2\n"]


def test_there_are_at_most_256(m):
    for number in range(256):
        assert m.write("class/zcrypt/create", f"n{number}") == "ok"
    assert m.write("class/zcrypt/create", "n7") == "EEXIST"
    assert m.write("class/zcrypt/create", "another") == "ENOSPC"
    assert m.write("class/zcrypt/destroy", "n7") == "ok"
    assert m.write("class/zcrypt/create", "another") == "ok"


def test_the_default_node_cannot_be_destroyed(m):
    assert m.write("class/zcrypt/destroy", "z90crypt") == "ENOENT"


def test_who_has_a_node_open_keeps_it(m):
    storage = Storage()
    m.node("box")
    file = m.system.zcrypt_nodes.open("box")
    assert m.write("class/zcrypt/destroy", "box") == "ok"
    assert outcome(lambda: m.system.zcrypt_nodes.open("box")) == "ENOENT"
    assert outcome(lambda: file.ioctl(MODEXPO, storage.modexpo(*KEY), storage)) == "ok"
    # A new node of that name has masks of its own.
    assert m.write("class/zcrypt/create", "box") == "ok"
    assert outcome(lambda: file.ioctl(MODEXPO, storage.modexpo(*KEY), storage)) == "ok"
    file.close()
    assert m.system.zcrypt_nodes.nodes["box"].opens == 0


def test_the_default_node_follows_the_masks_of_the_bus(m):
    m.write("bus/ap/aqmask", "-0x33")
    m.zcrypt.rsa(ModExpo(*KEY))
    m.zcrypt.rsa(ModExpo(*KEY))
    assert m.wire.queues == ["02.0006", "02.0006"]


def test_nodes_tell_user_space(m):
    events: list[Uevent] = []
    m.system.uevents.subscribe(events.append)
    m.node("box")
    m.write("class/zcrypt/destroy", "box")
    told = [(event.action, event.devpath, event.env["DEVNAME"]) for event in events if event.subsystem == "zcrypt"]
    path = "/devices/virtual/zcrypt/box"
    assert told == [("add", path, "box"), ("remove", path, "box")]


@pytest.mark.parametrize(
    ("kind", "name"), [("zcrypt", "box"), ("misc", "z90crypt"), ("misc", "hw_random")], ids=lambda word: word
)
def test_events_of_nodes_on_request(m, kind, name):
    m.node("box")
    events: list[Uevent] = []
    m.system.uevents.subscribe(events.append)
    assert m.write(f"class/{kind}/{name}/uevent", "change\n") == "ok"
    [event] = events
    assert (event.action, event.devpath, event.subsystem) == ("change", f"/devices/virtual/{kind}/{name}", kind)
    assert list(event.env)[:4] == ["SYNTH_UUID", "MAJOR", "MINOR", "DEVNAME"]
    assert m.write(f"class/{kind}/{name}/uevent", "dance\n") == "EINVAL"
    assert m.system.log.lines()[-1] == f"{kind} {name}: uevent: failed to send synthetic uevent: -22"


@pytest.mark.parametrize("name", ["a/b", "a!b"])
def test_a_slash_in_a_name_is_one_below_dev_only(m, name):
    events: list[Uevent] = []
    m.system.uevents.subscribe(events.append)
    assert m.write("class/zcrypt/create", name) == "ok"
    assert [(event.devpath, event.env["DEVNAME"]) for event in events] == [("/devices/virtual/zcrypt/a!b", "a/b")]
