"""Master keys at rest: what survives a kill, what a wrong secret costs, and that nothing tells a key."""

import os
import subprocess
from pathlib import Path

import pytest

from apmatrix.arch import Apqn, KeySet
from apmatrix.cards.requests import read_cca_control
from apmatrix.config import parse
from apmatrix.emulation import Emulation
from apmatrix.emulation.masterkeys import KeyManager
from apmatrix.linux.zcrypt import CcaRequest
from apmatrix.service.errors import ControlError
from apmatrix.service.keystore import Secret, open_vault
from apmatrix.service.state import StateDirectory
from support import cca
from support.background import PROGRAM
from support.processes import output
from support.running import KEYS

AT = Apqn(5, 4)


def test_keys_survive_a_kill(site):
    site.up()
    first = site.change_key()
    pending = site.states("load", "aes", "--random")
    site.kill()
    site.up()
    assert site.states("show") == pending
    assert pending["current"] == first["current"]
    changed = site.states("set", "aes")
    site.run("down", "keys")
    site.up()
    assert site.states("show") == changed
    assert changed["old"] == first["current"]
    assert changed["current"]["pattern"] == pending["new"]["pattern"]


@pytest.mark.parametrize("changes", [2, 5])
def test_a_kill_in_the_middle_loses_nothing_that_was_acknowledged(site, changes):
    """The kill comes while changes go on, at a time that nobody chose."""
    site.up()
    changing = subprocess.Popen(
        [
            "sh",
            "-c",
            f"while {PROGRAM} key load aes --random --domain 4 && {PROGRAM} key set aes --domain 4; do :; done",
        ],
        env=site.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    told = [output(changing).readline() for _ in range(changes)]
    site.kill()
    told += output(changing).readlines()
    changing.wait()
    output(changing).close()
    site.up()
    now = site.states("show")
    acknowledged = told[-1].split()
    loaded = acknowledged[acknowledged.index("new") + 1 : acknowledged.index("current")]
    current = acknowledged[acknowledged.index("current") + 2].rstrip(",")
    # One more change may have been made, of which nobody heard any more.
    if loaded[0] == "full":
        assert loaded[1].rstrip(",") in (now["new"]["pattern"], now["current"]["pattern"])
    else:
        assert current == now["current"]["pattern"]


def test_the_default_key_file_is_its_owners(site):
    site.up()
    site.change_key()
    for path in (site.state / "key", *(site.state / "keys").iterdir()):
        assert path.stat().st_mode & 0o077 == 0
    assert (site.state / "keys").stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in (site.state / "keys").iterdir()) == ["card-05.keys", "vault"]


WRONG_SECRETS = [
    ((), "", {}, "are kept under a passphrase or a key file of your own"),
    (("--ask-passphrase",), "correct house\n", {}, "cannot be opened: the passphrase or key file is wrong"),
    (("--ask-passphrase",), "\n", {}, "the passphrase of the keys is empty"),
    ((), "", {"APMATRIX_PASSPHRASE": "correct house"}, "cannot be opened"),
    (("--key-file", "short"), "", {}, "short: a key file has at least 32 bytes"),
    (("--key-file", "other"), "", {}, "cannot be opened"),
    (("--key-file", "none"), "", {}, "none: the key file cannot be read: No such file or directory"),
    (("--key-file", "other", "--ask-passphrase"), "x\n", {}, "give a key file or a passphrase, not both"),
]


def test_a_wrong_secret_is_a_sentence_and_costs_nothing(site, monkeypatch):
    monkeypatch.chdir(site.file.parent)
    Path("short").write_bytes(bytes(31))
    Path("other").write_bytes(os.urandom(32))
    site.up("--ask-passphrase", stdin="correct horse\n")
    before = site.change_key()
    site.run("down", "keys")
    contents = {path: path.read_bytes() for path in (site.state / "keys").iterdir()}
    for options, stdin, environment, message in WRONG_SECRETS:
        refused = site.up(*options, stdin=stdin, code=2, **environment)
        assert message in refused.stderr
        assert "correct" not in refused.stderr + refused.stdout
        assert {path: path.read_bytes() for path in (site.state / "keys").iterdir()} == contents
    site.up(APMATRIX_PASSPHRASE="correct horse")
    assert site.states("show") == before
    assert "horse" not in (site.state / "log").read_text()


def test_a_key_file_of_the_users_own(site):
    own = site.file.with_name("own")
    own.write_bytes(os.urandom(32))
    site.up("--key-file", own)
    before = site.change_key()
    assert not (site.state / "key").exists()
    site.kill()
    site.up(APMATRIX_KEY_FILE=str(own))
    assert site.states("show") == before


def test_a_damaged_file_is_named_and_nothing_starts(site):
    site.up()
    site.change_key()
    site.run("down", "keys")
    path = site.state / "keys" / "card-05.keys"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    refused = site.up(code=2)
    assert f"{path}: cannot be opened" in refused.stderr
    assert "running" not in site.run("status").stdout


# in this process


def in_state(tmp_path, **secret):
    state = StateDirectory(tmp_path / "machine")
    state.path.mkdir(exist_ok=True)
    return open_vault(state, parse(KEYS, "machine.toml"), Secret(**secret))


def send(emulation, block):
    """A CCA request of a program in the LPAR, through 05.0004."""
    (system, *_) = emulation.lpars
    message = cca.request(block, AT.domain)
    reply = system.linux.zcrypt.cprb(CcaRequest(message[88:], card=AT.adapter))
    return read_cca_control(reply.control)


def generate():
    return cca.parameters(b"KG", [], b"OP      KEYLN32 AESDATA " + bytes(8), cca.KEY_SKELETON_PARTS)


def unwrap(token):
    return cca.parameters(b"US", [], cca.part(1, b""), cca.part(0, token))


def test_a_token_from_before_still_opens(tmp_path):
    file = parse(KEYS, "machine.toml")

    def change_key(emulation):
        manager = KeyManager(emulation, emulation.lpars[0])
        manager.load(KeySet.AES, AT, [os.urandom(32), os.urandom(32)])
        return manager.set(KeySet.AES, AT)

    with Emulation.start(file, store=in_state(tmp_path)) as emulation:
        change_key(emulation)
        made = send(emulation, generate())
        assert made.return_code == 0
        length = int.from_bytes(made.parameters.keys[:2], "big")
        token = made.parameters.keys[4:length]
    for codes in ((0, 0), (0, 0), (8, 48)):  # under the current key, under the old one, under none
        with Emulation.start(file, store=in_state(tmp_path)) as emulation:
            opened = send(emulation, unwrap(token))
            assert (opened.return_code, opened.reason_code) == codes
            change_key(emulation)


def test_without_a_store_keys_end_with_the_machine(tmp_path):
    file = parse(KEYS, "machine.toml")
    for _ in range(2):
        with Emulation.start(file) as emulation:
            manager = KeyManager(emulation, emulation.lpars[0])
            assert manager.query(KeySet.AES, AT).empty
            manager.load(KeySet.AES, AT, [bytes(32), bytes(32)])


def test_a_machine_without_coprocessors_keeps_no_keys(tmp_path):
    text = KEYS.replace("CEX8C", "CEX8A").replace("CEX8P", "CEX8A")
    assert open_vault(StateDirectory(tmp_path), parse(text, "machine.toml"), Secret()) is None
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_unfinished_is_cleared_away(tmp_path):
    assert in_state(tmp_path) is not None
    (left,) = [tmp_path / "machine" / "keys" / ".card-05.keys.abcdef"]
    left.write_bytes(b"half")
    in_state(tmp_path)
    assert not left.exists()


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "machine").mkdir()
    (tmp_path / "machine" / "keys").write_text("in the way")
    with pytest.raises(ControlError, match="the keys cannot be kept there: ") as caught:
        in_state(tmp_path)
    assert caught.value.code == 2


def test_secrets_are_not_shown():
    assert "horse" not in repr(Secret(passphrase="correct horse"))
