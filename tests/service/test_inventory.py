"""What the list of the keys notices at ``up``, and that a kill at any moment leaves what can be opened."""

import shutil

import pytest

from apmatrix.cards.vault import Vault, VaultError
from apmatrix.service.inventory import KeptKeys


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(64))
    return tmp_path / "keys"


def opened(directory, machine="m"):
    return KeptKeys(Vault(directory, key_file=directory.parent / "secret"), directory, machine)


@pytest.fixture
def kept(directory):
    made = opened(directory)
    made.start()
    made.write("card-05.keys", b"first")
    made.write("card-05.keys", b"second")
    made.write("card-06.keys", b"other")
    return made


def refused(directory, machine="m"):
    with pytest.raises(VaultError) as caught:
        opened(directory, machine).check()
    return str(caught.value)


def test_what_was_written_last_is_opened(kept, directory):
    again = opened(directory)
    again.check()
    assert again.names() == ["card-05.keys", "card-06.keys"]
    assert again.read("card-05.keys") == b"second"
    again.write("card-05.keys", b"third")
    opened(directory).check()


def test_a_lost_file_is_noticed(kept, directory):
    (directory / "card-06.keys").unlink()
    assert refused(directory).startswith(f"{directory}/card-06.keys: is missing: put the right one back, or move")


def test_an_older_copy_is_noticed(kept, directory, tmp_path):
    shutil.copy(directory / "card-05.keys", tmp_path / "copy")
    kept.write("card-05.keys", b"third")
    shutil.copy(tmp_path / "copy", directory / "card-05.keys")
    assert "card-05.keys: is not what was written last" in refused(directory)


def test_a_file_of_another_machine_under_the_same_secret_is_noticed(kept, directory, tmp_path):
    other = KeptKeys(Vault(tmp_path / "other", key_file=tmp_path / "secret"), tmp_path / "other", "n")
    other.start()
    other.write("card-05.keys", b"theirs")
    shutil.copy(tmp_path / "other/card-05.keys", directory)
    assert "card-05.keys: is not what was written last" in refused(directory)
    shutil.rmtree(directory)
    shutil.copytree(tmp_path / "other", directory)
    assert "the keys of machine n, not of m" in refused(directory)


def test_a_file_that_was_never_written_is_noticed(kept, directory):
    Vault(directory, key_file=directory.parent / "secret").write("card-0a.keys", b"smuggled")
    assert "card-0a.keys: is not what was written last" in refused(directory)


def test_a_lost_list_is_noticed(kept, directory):
    (directory / "vault").unlink()
    assert refused(directory).startswith(f"{directory}/vault: is missing")
    Vault(directory, key_file=directory.parent / "secret").write("vault", b"?")
    assert refused(directory).startswith(f"{directory}/vault: is not a list of keys")


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", ["card-05.keys", "card-0a.keys"])
@pytest.mark.parametrize("writes", range(3))
def test_a_kill_between_two_writes_leaves_the_old_or_the_new_content(kept, directory, monkeypatch, name, writes):
    left = [writes]
    write = Vault.write

    def limited(self, name, content):
        if not left[0]:
            raise Killed
        left[0] -= 1
        write(self, name, content)

    before = kept.read(name)
    monkeypatch.setattr(Vault, "write", limited)
    with pytest.raises(Killed):
        kept.write(name, b"new")
    monkeypatch.undo()
    again = opened(directory)
    again.check()
    assert again.read(name) == (before if writes < 2 else b"new")
    again.write(name, b"newer")
    last = opened(directory)
    last.check()
    assert last.read(name) == b"newer"
