"""Master keys by file: which registers get them, from which parts, and that nothing tells a key."""

import logging
import os

import pytest

from apmatrix.arch import Apqn, KeySet
from apmatrix.cards import Action, MemoryStore, Vault
from apmatrix.cards.masterkeys import MasterKey
from apmatrix.config import ConfigError, load
from apmatrix.emulation import Emulation
from apmatrix.emulation.masterkeys import KeyManager

ONE, OTHER = bytes(range(32)), bytes(range(64, 96))
MACHINE = """
[[adapter]]
ids = "5,8"
type = "CEX8C"
[[adapter]]
id = 6
type = "CEX8P"
{}
[[lpar]]
name = "kvm1"
adapters = "5,6,8"
usage_domains = "4-7"
"""
PARTS = """
[[master_key]]
adapters = "5,8"
domains = "4,0x6"
set = "AES"
parts = ["one", "sub/other"]
"""
RANDOM = """
[[master_key]]
adapters = 5
domains = [4, 5]
set = "{}"
key = "random"
"""
WHOLE = """
[[master_key]]
adapters = 6
domains = 4
set = "WK"
parts = ["one"]
"""


@pytest.fixture
def file(tmp_path):
    """Writes a file with tables, and parts beside it; what it says."""
    (tmp_path / "sub").mkdir()
    for name, part in (("one", ONE), ("sub/other", f"0x{OTHER.hex()}\n".encode())):
        (tmp_path / name).write_bytes(part)
        (tmp_path / name).chmod(0o600)

    def write(tables):
        path = tmp_path / "machine.toml"
        path.write_text(MACHINE.format(tables))
        return load(path)

    return write


def registers(emulation, apqn, key_set):
    return emulation.machine.adapters[apqn.adapter].context.keyring.registers(apqn.domain, key_set)


def state(emulation, apqn, key_set):
    """The registers as the card reports them: states, and the current key's pattern."""
    found = KeyManager(emulation, emulation.lpars[0]).query(key_set, apqn)
    return found.new.state, found.current, None if found.old is None else found.old.state


def test_parts_make_the_same_key_in_each_domain(file, monkeypatch, tmp_path):
    described = file(PARTS + WHOLE)
    monkeypatch.chdir("/")  # parts are found beside the file, wherever the machine is
    key = MasterKey.of_parts(KeySet.AES, [ONE, OTHER])
    with Emulation.start(described) as emulation:
        for apqn in (Apqn(5, 4), Apqn(5, 6), Apqn(8, 4), Apqn(8, 6)):
            assert registers(emulation, apqn, KeySet.AES).current == key
            assert state(emulation, apqn, KeySet.AES) == ("empty", ("valid", key.pattern.hex()), "invalid")
        for apqn, key_set in ((Apqn(5, 5), KeySet.AES), (Apqn(5, 4), KeySet.APKA), (Apqn(6, 5), KeySet.WK)):
            assert registers(emulation, apqn, key_set).empty
        wrapping = MasterKey.of(KeySet.WK, ONE)
        assert state(emulation, Apqn(6, 4), KeySet.WK) == ("empty", ("valid", wrapping.pattern.hex()), None)


@pytest.mark.parametrize("key_set", [KeySet.AES, KeySet.APKA, KeySet.ASYM])
def test_a_random_key_is_another_one_each_time_and_the_same_in_its_domains(file, key_set):
    described = file(RANDOM.format(key_set.label))
    found: list[bytes] = []
    for _ in range(2):
        with Emulation.start(described) as emulation:
            keys = {registers(emulation, Apqn(5, domain), key_set).current.key for domain in (4, 5)}
            assert len(keys) == 1
            found += keys
    assert len(set(found)) == 2
    assert {len(key) for key in found} == {key_set.key_size}


def test_keys_that_a_card_has_stay_and_no_part_is_read_for_them(file, tmp_path):
    described, store = file(PARTS), MemoryStore()
    with Emulation.start(described, store=store) as emulation:
        manager = KeyManager(emulation, emulation.lpars[0])
        manager.load(KeySet.AES, Apqn(5, 4), [ONE, ONE])
        manager.set(KeySet.AES, Apqn(5, 4))
        changed = registers(emulation, Apqn(5, 4), KeySet.AES)
    (tmp_path / "one").unlink()
    with Emulation.start(described, store=store) as emulation:
        assert registers(emulation, Apqn(5, 4), KeySet.AES) == changed
        KeyManager(emulation, emulation.lpars[0]).zeroize(Apqn(8, 6), card=False)
    with pytest.raises(ConfigError, match=r"one: the key part cannot be read: No such file"):
        Emulation.start(described, store=store)


def test_a_part_of_a_key_that_is_being_loaded_stays(file):
    described, store = file(PARTS), MemoryStore()
    with Emulation.start(described, store=store) as emulation:
        manager = KeyManager(emulation, emulation.lpars[0])
        manager.zeroize(Apqn(5, 4), card=False)
        manager.step(Action.LOAD_FIRST, KeySet.AES, Apqn(5, 4), ONE)
    with Emulation.start(described, store=store) as emulation:
        assert state(emulation, Apqn(5, 4), KeySet.AES)[0] == "partial"
        assert registers(emulation, Apqn(5, 4), KeySet.AES).current is None


def test_the_keys_of_a_card_are_stored_at_once(file, tmp_path):
    """However many domains there are: each write costs a synchronization of the disk."""
    described, writes = file(PARTS.replace("0x6", "5-200") + RANDOM.format("APKA")), []

    class Counting(MemoryStore):
        def write(self, name, content):
            writes.append(name)
            super().write(name, content)

    with Emulation.start(described, store=Counting()):
        assert sorted(writes) == ["card-05.keys", "card-08.keys"]


def change(path, what):
    if what == "pipe":
        path.unlink()
        os.mkfifo(path, 0o600)
    elif what == "directory":
        path.unlink()
        path.mkdir(mode=0o700)
    elif isinstance(what, int):
        path.chmod(what)
    else:
        path.write_bytes(what)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (0o640, "one: other users can read or write this key part: chmod 600 "),
        (0o604, "one: other users can read or write this key part"),
        (0o620, "one: other users can read or write this key part"),
        (ONE[:-1], "one is not a part of the AES master key: it must have 32 bytes, or 64 hexadecimal digits"),
        (ONE.hex().encode() + b"00", "one is not a part of the AES master key"),
        (b"", "one is not a part of the AES master key"),
        ("pipe", "one: a pipe cannot be a key part: store it in a file of its own"),
        ("directory", "one: the key part cannot be read: Is a directory"),
    ],
)
def test_a_part_that_cannot_be_used_ends_the_bring_up_with_its_line(file, tmp_path, what, message):
    described, store = file(RANDOM.format("APKA") + PARTS), MemoryStore()
    change(tmp_path / "one", what)
    with pytest.raises(ConfigError) as caught:
        Emulation.start(described, store=store)
    (finding,) = caught.value.findings
    assert str(finding).startswith(f"{tmp_path}/machine.toml:19: master_key[1].parts[0]: {tmp_path}/{message}")
    assert repr(store) == "<MemoryStore of 0>"  # nothing was given to any card


def test_nothing_tells_a_key(file, tmp_path, caplog):
    """Neither logs, nor what objects say about themselves, nor errors, nor the files of the store."""
    described = file(PARTS + WHOLE)
    caplog.set_level(logging.DEBUG)
    vault = Vault(tmp_path / "keys", passphrase="correct horse battery staple")
    with Emulation.start(described, store=vault) as emulation:
        adapter = emulation.machine.adapters[5]
        told = [described, emulation, emulation.file, adapter, adapter.context, adapter.context.keyring]
        told += [registers(emulation, Apqn(5, 4), KeySet.AES), described.without_keys()]
        log = [entry.text for entry in emulation.lpars[0].linux.log.entries]
    change(tmp_path / "sub/other", OTHER.hex().encode() + b"7")
    with pytest.raises(ConfigError) as caught:
        Emulation.start(described)
    text = "\n".join([*map(repr, told), *log, caplog.text, str(caught.value), repr(caught.value)])
    stored = b"".join(path.read_bytes() for path in (tmp_path / "keys").iterdir())
    combined = bytes(a ^ b for a, b in zip(ONE, OTHER, strict=True))
    for secret in (ONE, OTHER, combined):
        assert secret.hex() not in text
        assert repr(secret)[2:-1] not in text
        assert secret not in stored
        assert secret.hex().encode() not in stored
