"""Extra zcrypt nodes: names, masks, and files that outlive them (hardware.md 5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from apmatrix.linux.zcrypt import ModExpo
from support.zcrypt import Storage, outcome

if TYPE_CHECKING:
    from apmatrix.linux.core import Uevent

KEY = (b"\0\x41", b"\0\x11", b"\x0c\xa1")
MODEXPO = 0xC0007A05


def names(crypto):
    return [name for name in crypto.sysfs.list("class/zcrypt") if name not in ("create", "destroy")]


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
def test_the_name_of_a_node(crypto, written, name):
    assert crypto.write("class/zcrypt/create", written) == "ok"
    assert names(crypto) == [name]
    assert crypto.sysfs.readlink(f"class/zcrypt/{name}") == f"../../devices/virtual/zcrypt/{name}"
    assert crypto.write("class/zcrypt/create", written if written.strip() else name) == "EEXIST"


@pytest.mark.parametrize(("written", "name"), [(b"\xa0box\xa0", "box"), (b"\x1cbox\x85", "\x1cbox\x85")])
def test_only_what_the_kernel_takes_for_white_space_is_cut_off(crypto, written, name):
    crypto.sysfs.write("class/zcrypt/create", written)
    assert names(crypto) == [name]


def test_nodes_without_names_and_their_numbers(crypto):
    for _ in range(3):
        assert crypto.write("class/zcrypt/create", "\n") == "ok"
    assert names(crypto) == ["zcrypt_0", "zcrypt_1", "zcrypt_2"]
    assert crypto.write("class/zcrypt/destroy", "zcrypt_1") == "ok"
    assert crypto.write("class/zcrypt/create", "box") == "ok"
    numbers = [crypto.read(f"class/zcrypt/{name}/dev").partition(":")[2] for name in names(crypto)]
    assert numbers == ["1\n", "0\n", "2\n"]


def test_a_chosen_name_may_be_taken(crypto):
    assert crypto.write("class/zcrypt/create", "zcrypt_1") == "ok"
    assert crypto.write("class/zcrypt/create", "\n") == "EEXIST"
    assert names(crypto) == ["zcrypt_1"]
    assert crypto.read("class/zcrypt/zcrypt_1/dev") == "250:0\n"


@pytest.mark.parametrize("name", ["create", "destroy"])
def test_attributes_of_the_class_take_names(crypto, name):
    assert crypto.write("class/zcrypt/create", name) == "EEXIST"
    assert crypto.write("class/zcrypt/create", "box") == "ok"


def test_a_node_may_have_the_default_nodes_name_but_not_its_file(crypto):
    assert crypto.write("class/zcrypt/create", "z90crypt") == "ok"
    assert names(crypto) == ["z90crypt"]
    file = crypto.system.zcrypt_nodes.open("z90crypt")
    storage = Storage()
    assert outcome(lambda: file.ioctl(MODEXPO, storage.modexpo(*KEY), storage)) == "ok"
    assert crypto.write("class/zcrypt/destroy", "z90crypt") == "ok"
    assert names(crypto) == []
    assert crypto.read("class/misc/z90crypt/dev") == "10:61\n"


def test_there_are_at_most_256(crypto):
    for number in range(256):
        assert crypto.write("class/zcrypt/create", f"n{number}") == "ok"
    assert crypto.write("class/zcrypt/create", "n7") == "EEXIST"
    assert crypto.write("class/zcrypt/create", "another") == "ENOSPC"
    assert crypto.write("class/zcrypt/destroy", "n7") == "ok"
    assert crypto.write("class/zcrypt/create", "another") == "ok"


def test_the_default_node_cannot_be_destroyed(crypto):
    assert crypto.write("class/zcrypt/destroy", "z90crypt") == "ENOENT"


def test_who_has_a_node_open_keeps_it(crypto):
    storage = Storage()
    crypto.node("box")
    file = crypto.system.zcrypt_nodes.open("box")
    assert crypto.write("class/zcrypt/destroy", "box") == "ok"
    assert outcome(lambda: crypto.system.zcrypt_nodes.open("box")) == "ENOENT"
    assert outcome(lambda: file.ioctl(MODEXPO, storage.modexpo(*KEY), storage)) == "ok"
    # A new node of that name has masks of its own.
    assert crypto.write("class/zcrypt/create", "box") == "ok"
    assert outcome(lambda: file.ioctl(MODEXPO, storage.modexpo(*KEY), storage)) == "ok"
    file.close()
    assert crypto.system.zcrypt_nodes.nodes["box"].opens == 0


def test_the_default_node_follows_the_masks_of_the_bus(crypto):
    crypto.write("bus/ap/aqmask", "-0x33")
    crypto.zcrypt.rsa(ModExpo(*KEY))
    crypto.zcrypt.rsa(ModExpo(*KEY))
    assert crypto.wire.queues == ["02.0006", "02.0006"]


def test_nodes_tell_user_space(crypto):
    events: list[Uevent] = []
    crypto.system.uevents.subscribe(events.append)
    crypto.node("box")
    crypto.write("class/zcrypt/destroy", "box")
    told = [(event.action, event.devpath, event.env["DEVNAME"]) for event in events if event.subsystem == "zcrypt"]
    path = "/devices/virtual/zcrypt/box"
    assert told == [("add", path, "box"), ("remove", path, "box")]


@pytest.mark.parametrize(
    ("kind", "name"), [("zcrypt", "box"), ("misc", "z90crypt"), ("misc", "hw_random")], ids=lambda word: word
)
def test_events_of_nodes_on_request(crypto, kind, name):
    crypto.node("box")
    events: list[Uevent] = []
    crypto.system.uevents.subscribe(events.append)
    assert crypto.write(f"class/{kind}/{name}/uevent", "change\n") == "ok"
    [event] = events
    assert (event.action, event.devpath, event.subsystem) == ("change", f"/devices/virtual/{kind}/{name}", kind)
    assert list(event.env)[:4] == ["SYNTH_UUID", "MAJOR", "MINOR", "DEVNAME"]
    assert crypto.write(f"class/{kind}/{name}/uevent", "dance\n") == "EINVAL"
    assert crypto.system.log.lines()[-1] == f"{kind} {name}: uevent: failed to send synthetic uevent: -22"


@pytest.mark.parametrize("name", ["a/b", "a!b"])
def test_a_slash_in_a_name_is_one_below_dev_only(crypto, name):
    events: list[Uevent] = []
    crypto.system.uevents.subscribe(events.append)
    assert crypto.write("class/zcrypt/create", name) == "ok"
    assert [(event.devpath, event.env["DEVNAME"]) for event in events] == [("/devices/virtual/zcrypt/a!b", "a/b")]
