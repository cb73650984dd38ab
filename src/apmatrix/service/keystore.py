"""Where a machine in the background keeps its cards' master keys, and with which secret (docs/keys.md).

``NAME/keys`` in the state directory has an encrypted file for each card, and a list of them. The secret is a
passphrase, or a key file: by default ``NAME/key``, made when it is first needed.

To change the secret, all files are written anew into ``NAME/keys.part``. The change takes effect when that is renamed
to ``NAME/keys.next``. Then it replaces ``NAME/keys``; if a kill prevents this, the next machine or change does it.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from apmatrix.arch import Mode
from apmatrix.cards.vault import Vault, VaultError, create_file, replace_file, sync_directory
from apmatrix.service.errors import ControlError, ExitCode
from apmatrix.service.inventory import KeptKeys
from apmatrix.service.state import DEFAULT_KEY, KEYS_LIST, NEXT_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from apmatrix.config import MachineFile
    from apmatrix.service.state import StateDirectory

_KEY_SIZE: Final = 64
_COPROCESSORS: Final = (Mode.CCA, Mode.EP11)
_UNFINISHED: Final = "keys.part"
_OF_YOUR_OWN: Final = "kept under a passphrase or a key file of your own: give it with --ask-passphrase or --key-file"


@dataclass(frozen=True, slots=True)
class Secret:
    """What the user gave to open the keys: one of the two, or neither for the key file in the state directory."""

    passphrase: str | None = field(default=None, repr=False)
    key_file: Path | None = None

    @property
    def given(self) -> bool:
        """True if the user gave a passphrase or a key file."""
        return self.passphrase is not None or self.key_file is not None

    @property
    def name(self) -> str:
        """What it is, for messages."""
        if self.passphrase is not None:
            return "a passphrase"
        return f"the key file {self.key_file}" if self.key_file else "the key file beside them"


def open_vault(state: StateDirectory, file: MachineFile, secret: Secret) -> KeptKeys | None:
    """The store of the machine's keys; None for a machine without coprocessors, which needs none.

    The caller must hold the state directory. Every file is opened once, so that a wrong secret and a lost file are
    noticed before a card starts empty: that is a ControlError with exit code 2, and nothing has changed.
    """
    if not any(adapter.type.mode in _COPROCESSORS for adapter in file.adapters):
        return None
    with _sentences(state.keys):
        _recover(state)
        return _open(state, secret)


def change_secret(state: StateDirectory, old: Secret, new: Secret) -> None:
    """Let ``new`` open the keys from now on, and ``old`` no longer; a kill at any moment leaves one of the two.

    ControlError, with nothing changed, if the machine is running or keeps no keys, and with exit code 2 if a secret
    cannot be used; with exit code 4 if only ``new`` opens the keys, but the old ones could not be removed.
    """
    if not state.keeps_keys():
        raise ControlError(
            f"machine {state.path.name} keeps no keys yet: apmatrix up lets you choose what opens them"
        )
    with state.locked(), _sentences(state.keys):
        _recover(state)
        if _is_default(state, old) and _is_default(state, new):
            raise ControlError(f"the keys of machine {state.path.name} are already encrypted with {Secret().name}")
        if new.key_file is not None and new.key_file.resolve().is_relative_to(state.keys.resolve()):
            raise ControlError(
                f"{new.key_file}: a key file cannot be among the keys that it encrypts", ExitCode.UNREADABLE
            )
        vault = _open(state, old)
        if _is_default(state, new):
            _make_key_file(state)
        _write_anew(state, vault, new)
        try:
            sync_directory(state.path)
            _finish_change(state)
            if not _is_default(state, new):
                _key_file(state).unlink(missing_ok=True)  # no longer opens anything
        except OSError as error:
            raise ControlError(
                f"the keys of machine {state.path.name} are encrypted with {new.name} now, but the old ones cannot "
                f"be removed: {error.filename}: {error.strerror}; the next apmatrix up does it",
                ExitCode.INCOMPLETE,
            ) from error


def _key_file(state: StateDirectory) -> Path:
    return state.path / DEFAULT_KEY


def _is_default(state: StateDirectory, secret: Secret) -> bool:
    """True for the key file in the state directory, even if the user names it."""
    own = _key_file(state)
    named = secret.key_file is not None and secret.key_file.resolve() == own.resolve()
    return named or not secret.given


def _vault(state: StateDirectory, directory: Path, secret: Secret) -> KeptKeys:
    key_file = _key_file(state) if not secret.given else secret.key_file
    vault = Vault(directory, passphrase=secret.passphrase, key_file=key_file)
    return KeptKeys(vault, directory, state.path.name)


def _make_key_file(state: StateDirectory) -> None:
    replace_file(_key_file(state), os.urandom(_KEY_SIZE))


def _open(state: StateDirectory, secret: Secret) -> KeptKeys:
    """The vault, once ``secret`` has opened all its files; VaultError or ControlError if it does not."""
    known = (state.keys / KEYS_LIST).exists()
    if not secret.given and not _key_file(state).exists():
        if known:
            raise ControlError(
                f"the keys of machine {state.path.name} are {_OF_YOUR_OWN}; or {_key_file(state)}, which is missing, "
                "opened them: put it back",
                ExitCode.UNREADABLE,
            )
        _make_key_file(state)
    vault = _vault(state, state.keys, secret)
    try:
        if known or vault.names():
            vault.check()
        else:
            vault.start()
    except VaultError as error:
        hint = "" if secret.given else f"; or the keys are {_OF_YOUR_OWN}"
        raise ControlError(f"{error}{hint}", ExitCode.UNREADABLE) from error
    if not _is_default(state, secret):
        _remove_stale_key_file(state)
    return vault


def _remove_stale_key_file(state: StateDirectory) -> None:
    """Remove a default key file that opens nothing, which a kill during a change of the secret left."""
    if _key_file(state).exists():
        try:
            _vault(state, state.keys, Secret()).read(KEYS_LIST)
        except VaultError:
            _key_file(state).unlink()


def _write_anew(state: StateDirectory, vault: KeptKeys, secret: Secret) -> None:
    """Encrypt all files with another secret, beside the present ones."""
    unfinished = state.path / _UNFINISHED
    copy = _vault(state, unfinished, secret)
    copy.start()
    for name in vault.names():
        copy.write(name, vault.read(name) or b"")
    unfinished.rename(state.path / NEXT_KEYS)


def _recover(state: StateDirectory) -> None:
    """Remove what a kill left unfinished, and finish a change of the secret that has taken effect."""
    if (unfinished := state.path / _UNFINISHED).exists():
        shutil.rmtree(unfinished)
    _finish_change(state)
    for pattern in (".key.*", f"{state.keys.name}/.{KEYS_LIST}.*", f"{state.keys.name}/.card-*.keys.*"):
        for path in state.path.glob(pattern):
            path.unlink()


def _finish_change(state: StateDirectory) -> None:
    following = state.path / NEXT_KEYS
    if following.exists():
        if state.keys.exists():
            shutil.rmtree(state.keys)
        following.rename(state.keys)
        sync_directory(state.path)


@contextmanager
def _sentences(directory: Path) -> Iterator[None]:
    """Turn errors of secrets and files into ControlErrors."""
    try:
        yield
    except VaultError as error:
        raise ControlError(str(error), ExitCode.UNREADABLE) from error
    except OSError as error:
        raise ControlError(
            f"{directory}: the keys cannot be kept there: {error.strerror}", ExitCode.UNREADABLE
        ) from error


def keep_blobs(blobs: Mapping[Path, bytes], *, replace: bool = False) -> None:
    """Make files with secure keys for their owner only: each whole, and all of them or none.

    ControlError if one cannot be made, or already exists and is not to be replaced.
    """
    made: list[Path] = []
    for path, blob in blobs.items():
        try:
            (replace_file if replace else create_file)(path, blob)
        except OSError as error:
            for other in made:
                other.unlink(missing_ok=True)
            raise ControlError(f"{path}: the secure key cannot be kept: {error.strerror}") from error
        made.append(path)
