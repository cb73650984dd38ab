"""Another passphrase or key file for the keys at rest: what it opens, and what a kill in the middle leaves."""

import errno
import itertools
import os
import re
import shutil
from pathlib import Path

import pytest

from apmatrix.config import parse
from apmatrix.service.errors import ControlError
from apmatrix.service.keystore import Secret, change_secret, open_vault
from apmatrix.service.state import StateDirectory
from support.running import KEYS
from support.schemas import document

CARD = "card-05.keys"
DEFAULT = Secret()
HORSE, STAPLE = Secret(passphrase="correct horse"), Secret(passphrase="battery staple")


@pytest.fixture
def state(tmp_path):
    made = StateDirectory(tmp_path / "machine")
    made.path.mkdir()
    return made


@pytest.fixture
def site(site, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return site


def vault(state, secret):
    """The vault of the machine's cards."""
    found = open_vault(state, parse(KEYS, "machine.toml"), secret)
    assert found is not None
    return found


def opened(state, secret):
    """The content of the card's file; None if the secret does not open it."""
    try:
        return vault(state, secret).read(CARD)
    except ControlError:
        return None


def filled(state, secret, content=b"content"):
    vault(state, secret).write(CARD, content)


def file_of(tmp_path):
    path = tmp_path / "stick"
    path.write_bytes(bytes(range(64)))
    return Secret(key_file=path)


@pytest.mark.parametrize("chain", ["hs", "hf", "fh", "dh", "df", "hd", "fd", "dhfd"])
def test_the_new_secret_opens_the_keys_and_the_old_one_does_not(state, tmp_path, chain):
    kinds = {"d": DEFAULT, "h": HORSE, "s": STAPLE, "f": file_of(tmp_path)}
    filled(state, kinds[chain[0]])
    for old, new in itertools.pairwise(chain):
        before = (state.keys / CARD).read_bytes()
        change_secret(state, kinds[old], kinds[new])
        assert (state.keys / CARD).read_bytes() != before
        assert opened(state, kinds[old]) is None
        assert opened(state, kinds[new]) == b"content"
        assert (state.path / "key").exists() == (new == "d")
    assert sorted(path.name for path in state.path.iterdir() if path.name not in ("lock", "key")) == ["keys"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in (state.keys, *state.keys.iterdir()))


def test_a_passphrase_may_have_any_bytes(state):
    """As Python hands on what is no UTF-8."""
    any_bytes = Secret(passphrase=b"p\xff\xfe".decode("utf-8", "surrogateescape"))
    filled(state, HORSE)
    change_secret(state, HORSE, any_bytes)
    assert opened(state, any_bytes) == b"content"
    assert opened(state, Secret(passphrase=b"p\xff\xfd".decode("utf-8", "surrogateescape"))) is None


class Killed(BaseException):
    """Nothing of the process happens after it."""


def killed_after(monkeypatch, steps):
    """Let everything that changes a disk fail after so many steps; the steps that were left."""
    left = [steps]

    def limited(action):
        def call(*arguments, **options):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return action(*arguments, **options)

        return call

    for name in ("rename", "replace", "link", "unlink", "rmdir", "mkdir", "fsync"):
        monkeypatch.setattr(os, name, limited(getattr(os, name)))
    return left


@pytest.mark.parametrize(
    ("old", "new"), [(HORSE, STAPLE), (DEFAULT, HORSE), (HORSE, DEFAULT)], ids=["own", "from default", "to default"]
)
def test_a_kill_at_any_step_leaves_the_old_or_the_new_secret(tmp_path, monkeypatch, old, new):
    outcomes = []
    for steps in range(100):
        state = StateDirectory(tmp_path / str(steps))
        state.path.mkdir()
        filled(state, old, content=f"content {steps}".encode())
        with monkeypatch.context() as patch:
            killed_after(patch, steps)
            try:
                change_secret(state, old, new)
                ended = True
            except Killed:
                ended = False
        found = {"old": opened(state, old), "new": opened(state, new)}
        outcomes += [name for name, content in found.items() if content]
        assert list(filter(None, found.values())) == [f"content {steps}".encode()]
        names = {path.name for path in state.path.iterdir()}
        assert names <= {"keys", "key", "lock"}
        assert ("key" in names) == bool(found["old" if old is DEFAULT else "new"] and DEFAULT in (old, new))
        assert not [path.name for path in state.keys.iterdir() if path.name.startswith(".")]
        if ended:
            break
    assert ended
    assert outcomes == sorted(outcomes, reverse=True), "first always the old one, then always the new one"
    assert set(outcomes) == {"old", "new"}


def test_an_unfinished_change_can_be_followed_by_another(state, monkeypatch):
    filled(state, HORSE)
    with monkeypatch.context() as patch:
        patch.setattr("apmatrix.service.keystore._finish_change", lambda _state: None)
        change_secret(state, HORSE, STAPLE)
    assert state.keeps_keys()
    change_secret(state, STAPLE, HORSE)
    assert opened(state, HORSE) == b"content"


def test_a_copy_of_the_default_key_file_does_not_remove_it(state, tmp_path):
    filled(state, DEFAULT)
    shutil.copy(state.path / "key", tmp_path / "copy")
    assert opened(state, Secret(key_file=tmp_path / "copy")) == b"content"
    assert opened(state, DEFAULT) == b"content"


def test_an_error_after_the_change_says_what_opens_the_keys_now(state, monkeypatch):
    filled(state, HORSE)

    def fail(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("apmatrix.service.keystore.shutil.rmtree", fail)
        with pytest.raises(
            ControlError, match=r"are encrypted with a passphrase now, but .*: Input/output"
        ) as caught:
            change_secret(state, HORSE, STAPLE)
    assert caught.value.code == 4
    assert opened(state, HORSE) is None
    assert opened(state, STAPLE) == b"content"


def test_a_default_key_file_that_is_missing_is_named(state):
    filled(state, DEFAULT)
    (state.path / "key").unlink()
    with pytest.raises(ControlError, match=f"or {re.escape(str(state.path / 'key'))}, which is missing"):
        vault(state, DEFAULT)


def test_what_is_refused_changes_nothing(state, tmp_path):
    filled(state, HORSE)
    contents = {path: path.read_bytes() for path in state.path.rglob("*") if path.is_file()}
    (tmp_path / "short").write_bytes(bytes(31))
    inside = state.keys / "mine"
    for old, new, code, message in (
        (STAPLE, DEFAULT, 2, "cannot be opened: the passphrase or key file is wrong"),
        (DEFAULT, STAPLE, 2, "are kept under a passphrase or a key file of your own"),
        (HORSE, Secret(passphrase=""), 2, "the passphrase of the keys is empty"),
        (HORSE, Secret(key_file=tmp_path / "short"), 2, "short: a key file has at least 32 bytes"),
        (HORSE, Secret(key_file=tmp_path / "none"), 2, "none: the key file cannot be read"),
        (HORSE, Secret(key_file=inside), 2, "mine: a key file cannot be among the keys"),
    ):
        with pytest.raises(ControlError, match=re.escape(message)) as caught:
            change_secret(state, old, new)
        assert caught.value.code == code
        found = {path: path.read_bytes() for path in state.path.rglob("*") if path.is_file()}
        assert {path: found[path] for path in found if path.name != "lock"} == contents
    change_secret(state, HORSE, DEFAULT)
    with pytest.raises(ControlError, match="are already encrypted with the key file beside them"):
        change_secret(state, DEFAULT, Secret(key_file=state.path / "key"))
    assert opened(state, DEFAULT) == b"content"


def test_a_key_file_that_opens_nothing_is_not_taken_for_a_damaged_file(state):
    filled(state, HORSE)
    (state.path / "key").write_bytes(bytes(64))
    with pytest.raises(ControlError, match="or the keys are kept under a passphrase or a key file of your own"):
        open_vault(state, parse(KEYS, "machine.toml"), DEFAULT)


def test_files_of_others_among_the_keys_do_no_harm(state):
    filled(state, HORSE)
    (state.keys / "README~").write_text("not ours")
    (state.keys / ".git").mkdir()
    assert opened(state, HORSE) == b"content"
    assert (state.keys / ".git").is_dir()


# by commands


def test_the_secret_is_changed_by_a_command(site):
    site.up("--ask-passphrase", stdin="correct horse\n")
    before = site.change_key()
    running = site.run("key", "protect", "--machine", "keys", "--default-key", code=3)
    assert "machine keys is already running: apmatrix down keys" in running.stderr
    site.run("down", "keys")
    told = site.run(
        "key", "protect", "--ask-passphrase", "--ask-new-passphrase", stdin="correct horse\nbattery staple\n"
    )
    assert told.stdout == "the keys of machine keys are encrypted with a passphrase\n"
    assert "cannot be opened" in site.up("--ask-passphrase", stdin="correct horse\n", code=2).stderr
    site.up("--ask-passphrase", stdin="battery staple\n")
    assert site.states("show") == before
    site.run("down", "keys")
    Path("stick").write_bytes(os.urandom(64))
    told = site.run(
        "key",
        "protect",
        "--machine",
        "keys",
        "--new-key-file",
        "stick",
        "--json",
        APMATRIX_PASSPHRASE="battery staple",
    )
    assert document(told.stdout)["encrypted_with"] == "the key file stick"
    told = site.run("key", "protect", "--key-file", "stick", "--default-key")
    assert told.stdout == "the keys of machine keys are encrypted with the key file beside them\n"
    site.up()
    assert site.states("show") == before


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "give one of --new-key-file, --ask-new-passphrase, --default-key"),
        (("--default-key", "--ask-new-passphrase"), 2, "give one of --new-key-file"),
        (("--default-key",), 2, "choose a machine with --machine (those with keys: none)"),
        (("--default-key", "--machine", "keys"), 2, "there is no machine keys: apmatrix status lists them"),
        (("--default-key", "--machine", "a/b"), 2, "'a/b' cannot name a machine"),
        (("--default-key", "--machine", "empty"), 1, "machine empty keeps no keys yet"),
    ],
)
def test_wrong_use_is_a_sentence(site, words, code, message):
    site.state.with_name("empty").mkdir(parents=True)
    assert message in site.run("key", "protect", *words, code=code).stderr
    assert [path.name for path in site.state.parent.iterdir()] == ["empty"]


def test_a_machine_keeps_no_passphrase_in_its_environment(site):
    """Other processes of the user could read it there, as long as the machine runs."""
    site.up(APMATRIX_PASSPHRASE="correct horse")
    try:
        environment = Path(f"/proc/{site.process}/environ").read_bytes()
    except PermissionError:
        return  # only root may look
    assert b"APMATRIX_STATE=" in environment
    assert b"horse" not in environment
    assert b"horse" not in Path(f"/proc/{site.process}/cmdline").read_bytes()


def test_a_new_passphrase_is_typed_twice(site):
    """On a terminal, where a slip would lock the keys away for ever."""
    assert "do not match" in site.typed("up", site.file, "--ask-passphrase", lines=("horse", "house", "x", "x"))
    site.run("down", "keys")
    shown = site.typed("up", site.file, "--ask-passphrase", lines=("x",))
    assert "Repeat" not in shown
    assert "horse" not in shown
