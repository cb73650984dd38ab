"""Keys at rest: encrypted, bound to card and secret, and never half written."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from apmatrix.arch import KeySet
from apmatrix.cards import CardContext, MemoryStore, Vault
from apmatrix.cards.keyring import Keyring
from apmatrix.cards.vault import VaultError
from support import cca
from support.processes import output
from support.queues import make_adapter


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(os.urandom(32))
    return path


def test_keys_survive_the_machine(tmp_path, key_file):
    def adapter():
        return make_adapter(context=CardContext.of(5, Vault(tmp_path / "keys", key_file=key_file)))

    first = adapter()
    cca.set_master_key(first)
    cca.master_key(first, b"LOAD-FST", b"APKA", bytes(32), domain=7)
    token = cca.token(cca.generate_data(first))
    second = adapter()
    assert cca.unwrap_data(second, token).codes == (0, 0)
    for domain in (6, 7):
        for key_set in (KeySet.AES, KeySet.APKA):
            expected = first.context.keyring.registers(domain, key_set)
            assert second.context.keyring.registers(domain, key_set) == expected
    cca.master_key(second, b"ZERO-DOM")
    assert cca.unwrap_data(adapter(), token).codes == (12, 764)


def test_files_tell_nothing_and_belong_to_their_owner(tmp_path, key_file):
    vault = Vault(tmp_path / "keys", key_file=key_file)
    vault.write("card-05.keys", b"top secret key")
    (path,) = (tmp_path / "keys").iterdir()
    assert b"secret" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    assert "secret" not in repr(vault).replace(str(tmp_path), "")
    assert vault.read("card-05.keys") == b"top secret key"
    assert vault.read("card-06.keys") is None


def test_passphrase(tmp_path):
    Vault(tmp_path, passphrase="correct horse").write("card", b"content")
    assert Vault(tmp_path, passphrase="correct horse").read("card") == b"content"
    with pytest.raises(VaultError, match=r"card: cannot be opened: the passphrase or key file is wrong"):
        Vault(tmp_path, passphrase="correct house").read("card")


def test_file_of_one_card_is_none_for_another(tmp_path, key_file):
    vault = Vault(tmp_path / "keys", key_file=key_file)
    vault.write("card-05", b"content")
    (tmp_path / "keys" / "card-05").rename(tmp_path / "keys" / "card-06")
    with pytest.raises(VaultError, match="card-06"):
        vault.read("card-06")


def test_every_changed_byte_is_noticed(tmp_path, key_file):
    vault = Vault(tmp_path / "keys", key_file=key_file)
    vault.write("card", b"content")
    path = tmp_path / "keys" / "card"
    good = path.read_bytes()
    for offset in range(len(good)):
        path.write_bytes(good[:offset] + bytes((good[offset] ^ 1,)) + good[offset + 1 :])
        with pytest.raises(VaultError, match="card"):
            Vault(tmp_path / "keys", key_file=key_file).read("card")
    for content in (b"", good[:47], good[:-1]):
        path.write_bytes(content)
        with pytest.raises(VaultError, match="card"):
            vault.read("card")


def test_unusable_secrets(tmp_path):
    with pytest.raises(VaultError, match="either a passphrase or a key file"):
        Vault(tmp_path)
    with pytest.raises(VaultError, match="empty"):
        Vault(tmp_path, passphrase="")
    with pytest.raises(VaultError, match=r"missing: the key file cannot be read: No such file"):
        Vault(tmp_path, key_file=tmp_path / "missing")
    (tmp_path / "short").write_bytes(bytes(31))
    with pytest.raises(VaultError, match="at least 32 bytes"):
        Vault(tmp_path, key_file=tmp_path / "short")


@pytest.mark.parametrize("name", ["", "../card", "a/b", ".hidden", "Card"])
def test_names_stay_inside_the_directory(tmp_path, key_file, name):
    with pytest.raises(ValueError, match="cannot be the name"):
        Vault(tmp_path, key_file=key_file).write(name, b"")


class FullDisk(MemoryStore):
    full = False

    def write(self, name, content):
        if self.full:
            raise VaultError("the disk is full")
        super().write(name, content)


def test_change_that_cannot_be_kept_does_not_happen():
    store = FullDisk()
    adapter = make_adapter(context=CardContext.of(5, store))
    cca.set_master_key(adapter)
    before = adapter.context.keyring.registers(6, KeySet.AES)
    store.full = True
    assert cca.master_key(adapter, b"LOAD-FST", b"AES", bytes(32)).codes == (16, 336)
    assert cca.master_key(adapter, b"ZERO-DOM").codes == (16, 336)
    assert adapter.context.keyring.registers(6, KeySet.AES) == before


def test_looking_writes_nothing():
    store = FullDisk()
    store.full = True
    adapter = make_adapter(context=CardContext.of(5, store))
    assert cca.master_key(adapter, b"QUERY", b"AES").codes == (0, 0)
    assert cca.facility(adapter, b"STATICSA").codes == (0, 0)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"6": {"AES": {}}}', b'{"x": {}}', b'{"6": {"XYZ": {}}}'])
def test_damaged_record(content):
    store = MemoryStore()
    store.write("card-05.keys", content)
    with pytest.raises(VaultError, match=r"card-05.keys are damaged"):
        Keyring("card-05.keys", store)


WRITER = """
    import sys
    from pathlib import Path
    from apmatrix.cards import Vault

    vault = Vault(Path(sys.argv[1]), key_file=Path(sys.argv[2]))
    for number in range(1_000_000):
        vault.write("card", b"%08d" % number * 5000)
        print(number, flush=True)
"""


def test_kill_leaves_the_old_or_the_new_content(tmp_path, key_file):
    """What was acknowledged is there after the kill; at most the next write is there instead."""
    directory = tmp_path / "keys"
    for round_ in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(directory), str(key_file)],
            stdout=subprocess.PIPE,
            text=True,
        )
        acknowledged = [int(output(writer).readline()) for _ in range(3 + 7 * round_)][-1]
        writer.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *(int(line) for line in output(writer).read().split("\n")[:-1])])
        output(writer).close()
        writer.wait()
        content = Vault(directory, key_file=key_file).read("card")
        assert content is not None
        number = int(content[:8])
        assert content == b"%08d" % number * 5000
        assert number in (acknowledged, acknowledged + 1)


@pytest.mark.parametrize(
    ("content", "message"), [(bytes(31), "at least 32 bytes"), (bytes((1 << 20) + 1), "at most 1048576 bytes")]
)
def test_a_key_file_of_the_wrong_length(tmp_path, content, message):
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(VaultError, match=message):
        Vault(tmp_path / "keys", key_file=path)


def test_a_key_file_that_no_program_writes(tmp_path):
    """It would be waited for."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(VaultError, match="pipe: a pipe cannot be a key file"):
        Vault(tmp_path / "keys", key_file=tmp_path / "pipe")


def test_a_key_file_that_never_ends(tmp_path):
    with pytest.raises(VaultError, match="/dev/urandom: a key file has at most"):
        Vault(tmp_path / "keys", key_file=Path("/dev/urandom"))
