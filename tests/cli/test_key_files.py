"""``apmatrix key make`` and ``check``: secure keys in files, made and opened through a system's own queues."""

import os
from pathlib import Path

import pytest

from apmatrix.cards.securekeys import KeyKind, SecureKey
from support.running import command
from support.schemas import document

CCA = ("--adapter", 5)
EP11 = ("--adapter", 6)
SIZES = {"CCA-AESDATA": 64, "CCA-AESCIPHER": 136, "EP11-AES": 320}


@pytest.fixture
def machine(machine):
    """With master keys in domain 4 of the LPAR and 6 of guest1; each card has the same in both."""
    parts = {"one": bytes(range(32)), "other": bytes(range(32, 64))}
    for name, part in parts.items():
        Path(name).write_bytes(part)
    for domain in (4, 6):
        change("aes", domain, "one", "other")
        change("wk", domain, "one")
    return machine


def change(key_set, domain, *parts):
    words = ("--domain", domain, "--adapter", 6 if key_set == "wk" else 5)
    command("key", "load", key_set, *(parts or ("--random",)), *words)
    command("key", "set", key_set, *words)


def make(name, *words):
    made = document(command("key", "make", name, *words, "--json").stdout)
    assert (made.pop("version"), made.pop("kind")) == (1, "key-make")
    return made


def check(*words, code=0):
    return document(command("key", "check", *words, "--json", code=code).stdout)["keys"]


def texts(key):
    return [finding["text"] for finding in key["findings"]]


@pytest.mark.parametrize("bits", [128, 192, 256])
@pytest.mark.parametrize(("kind", "adapter"), [("CCA-AESDATA", CCA), ("CCA-AESCIPHER", CCA), ("EP11-AES", EP11)])
def test_a_key_is_made_and_opened(machine, tmp_path, kind, adapter, bits):
    made = make("disk.key", "--type", kind, "--bits", bits, "--domain", 4)
    path, key_set = tmp_path / "disk.key", "WK" if adapter is EP11 else "AES"
    content = path.read_bytes()
    (key,) = SecureKey.all_in(content)
    apqn = f"0{adapter[1]}.0004"
    pattern = key.pattern.hex()
    assert made == {
        "file": "disk.key",
        "apqn": apqn,
        "type": kind,
        "bits": bits,
        "xts": False,
        "key_set": key_set,
        "pattern": pattern,
    }
    assert len(content) == SIZES[kind]
    assert path.stat().st_mode & 0o777 == 0o600
    shown = command("key", "show", *adapter, "--domain", 4).stdout
    assert pattern[:16] in shown
    (found,) = check("disk.key", "--domain", 4)
    assert found["openers"] == [{"apqn": apqn, "register": "current"}]
    assert found["findings"] == []
    assert found["bits"] == (None if kind == "CCA-AESCIPHER" else bits)
    (elsewhere,) = check("disk.key", "--from", "guest1")
    assert [opener["apqn"] for opener in elsewhere["openers"]] == [f"0{adapter[1]}.0006"]


def test_what_is_printed(machine):
    text = command("key", "make", "disk.key", "--domain", 6, *CCA, "--from", "guest1").stdout
    (key,) = SecureKey.all_in(Path("disk.key").read_bytes())
    pattern = key.pattern.hex()
    assert text == f"disk.key: CCA-AESDATA key of 256 bits under the AES of 05.0006, pattern {pattern}\n"
    text = command("key", "check", "disk.key").stdout
    assert text == "disk.key: CCA-AESDATA key of 256 bits, opened by 05.0004 with the current AES\n"
    change("aes", 4)
    change("aes", 5, "one", "other")
    text = command("key", "check", "disk.key").stdout
    assert text.endswith("opened by 05.0005 with the current AES, and by 05.0004 with the old AES\n")
    change("aes", 4)
    text = command("key", "check", "disk.key", "--domain", 4, code=1).stdout
    assert text == (
        f"disk.key: CCA-AESDATA key of 256 bits, pattern {pattern}: none of the queues has its master key\n"
    )


@pytest.mark.parametrize("word", ["aescipher", "AESCIPHER", "cca-aescipher"])
def test_the_kind_has_short_names(machine, word):
    assert make("disk.key", "--type", word, "--domain", 4)["type"] == "CCA-AESCIPHER"


def test_the_kind_follows_from_the_card_and_the_card_from_the_kind(machine):
    assert [make(f"{adapter[1]}.key", "--domain", 4, *adapter)["type"] for adapter in (CCA, EP11)] == [
        "CCA-AESDATA",
        "EP11-AES",
    ]
    assert make("one.key", "--domain", 4, "--type", "ep11")["apqn"] == "06.0004"
    refused = command("key", "make", "two.key", "--domain", 4, code=2)
    assert "choose an adapter with --adapter (available: 5-6)" in refused.stderr


@pytest.mark.parametrize("kind", SIZES)
def test_a_key_for_xts_is_two_keys(machine, tmp_path, kind):
    text = command("key", "make", "disk.key", "--xts", "--type", kind, "--domain", 4).stdout
    assert f"disk.key: {kind} key of twice 256 bits under the " in text
    keys = SecureKey.all_in((tmp_path / "disk.key").read_bytes())
    assert [key.kind.value for key in keys] == [kind, kind]
    assert keys[0].token != keys[1].token
    assert len(check("disk.key")) == 2


@pytest.mark.parametrize("options", [(), ("--xts",)])
def test_an_ep11_key_outlives_a_change_of_the_wrapping_key(machine, tmp_path, options):
    make("disk.key", "--domain", 4, *EP11, *options)
    command("key", "load", "wk", "--random", "--domain", 4)
    command("key", "reencipher", "disk.key", "--domain", 4)
    early = check("disk.key.new", "--domain", 4, code=1)
    assert [texts(key) for key in early] == [["good when the new master key is set"]] * len(early)
    assert not any(key["findings"] for key in check("disk.key", "--domain", 4))
    command("key", "set", "wk", "--domain", 4)
    again = check("disk.key.new", "--domain", 4)
    assert [(key["bits"], key["findings"]) for key in again] == [(256, [])] * (1 + len(options))
    lost = check("disk.key", "--domain", 4, code=1)
    assert [texts(key) for key in lost] == [["none of the queues has its master key"]] * len(lost)
    assert len((tmp_path / "disk.key.new").read_bytes()) == 320 * (1 + len(options))


@pytest.mark.parametrize("kind", SIZES)
def test_an_altered_key_is_opened_by_no_card(machine, tmp_path, kind):
    make("disk.key", "--type", kind, "--domain", 4)
    path = tmp_path / "disk.key"
    content = bytearray(path.read_bytes())
    content[100 if len(content) > 100 else 40] ^= 1
    path.write_bytes(content)
    (found,) = check("disk.key", "--domain", 4, code=1)
    assert found["openers"] == []
    assert "finds that it is altered or damaged" in texts(found)[0]


def test_a_file_is_replaced_only_if_the_user_says_so(machine, tmp_path):
    path = tmp_path / "disk.key"
    path.write_bytes(b"precious")
    path.chmod(0o644)
    refused = command("key", "make", "disk.key", "--domain", 4, *CCA, code=1)
    assert "disk.key already exists: give another FILE, or --force to lose what is in it" in refused.stderr
    assert path.read_bytes() == b"precious"
    command("key", "make", "disk.key", "--force", "--domain", 4, *CCA)
    assert len(path.read_bytes()) == 64
    assert path.stat().st_mode & 0o777 == 0o600


def test_only_a_regular_file_is_replaced(machine, tmp_path):
    (tmp_path / "disk.key").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("disk.key")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = {path.name: path.lstat().st_ino for path in tmp_path.iterdir()}
    for name in ("link", "directory", "pipe", "."):
        refused = command("key", "make", name, "--force", "--domain", 4, *CCA, code=1)
        assert f"{name} is not a regular file, and is not replaced: give another FILE" in refused.stderr
    assert {path.name: path.lstat().st_ino for path in tmp_path.iterdir()} == before
    assert (tmp_path / "disk.key").read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["k" * 255, "é" * 127])
def test_a_file_has_any_name_that_a_file_can_have(machine, tmp_path, name):
    command("key", "make", name, "--domain", 4, *CCA)
    assert len((tmp_path / name).read_bytes()) == 64


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("make", "k"), 2, "Missing option '--domain'"),
        (("make", "k", "--domain", "4,6"), 2, "one domain only"),
        (("make", "k", "--domain", 4, "--bits", 512), 2, "'512' is not one of '128', '192', '256'"),
        (("make", "k", "--domain", 4, "--type", "des"), 2, "'des' is not one of CCA-AESDATA, CCA-AESCIPHER, EP11"),
        (("make", "k", "--domain", 5, *CCA), 1, "05.0005 has no AES master key: load and set one first"),
        (("make", "k", "--domain", 5, *EP11), 1, "06.0005 has no wrapping key: load and set one first"),
        (
            ("make", "k", "--domain", 4, "--from", "guest1"),
            1,
            "kvm1/guest1 uses no queue of a coprocessor in domain 4: the coprocessors' queues that it uses are 05",
        ),
        (
            ("make", "k", "--domain", 4, *CCA, "--type", "ep11"),
            1,
            "kvm1 uses no queue of a coprocessor for EP11-AES in domain 4",
        ),
        (("make", "no/where", "--domain", 4, *CCA), 1, "no/where: the secure key cannot be kept: No such file"),
        (("check", "none"), 2, "none: the secure key cannot be read: No such file"),
        (("check", "one"), 2, "one: there is no secure AES key in it: neither a CCA token nor an EP11 blob"),
        (
            ("reencipher", "cca", "--domain", 4),
            2,
            "cca: it has a CCA-AESDATA key, and only EP11 keys are re-enciphered: the old register of CCA",
        ),
    ],
)
def test_what_is_wrong_is_a_sentence(machine, tmp_path, words, code, message):
    make("cca", "--domain", 4, *CCA)
    before = sorted(path.name for path in tmp_path.iterdir())
    assert message in command("key", *words, code=code).stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_keys_are_recognized_one_after_the_other():
    """Also a blob with Linux' header in front of it, whose padding no one added."""
    blob = bytearray(256)
    blob[64:66] = b"\x12\x34"
    header = bytes(2) + (272).to_bytes(2, "big") + b"\x06\0" + (192).to_bytes(2, "big") + bytes(8)
    found = SecureKey.all_in(bytes(blob) + header + bytes(blob) + b"more")
    assert [(key.kind, key.bits, key.place.start) for key in found] == [
        (KeyKind.EP11, None, 0),
        (KeyKind.EP11, 192, 272),
    ]
    for content in (b"", b"\x01", bytes(64), bytes(blob[:-1])):
        with pytest.raises(ValueError, match="there is no secure AES key in it"):
            SecureKey.all_in(content)
