"""Where a machine in the background keeps its cards' master keys, and with which secret (docs/keys.md).

``NAME/keys`` in the state directory has an encrypted file for each card, and one that tells whether a secret is the
right one. The secret is a passphrase, or a key file: by default ``NAME/key``, made when it is first needed.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from apmatrix.arch import Mode
from apmatrix.cards.vault import Vault, VaultError, replace_file
from apmatrix.faces.lines import ControlError

if TYPE_CHECKING:
    from pathlib import Path

    from apmatrix.config import MachineFile
    from apmatrix.service.state import StateDirectory

_CHECK: Final = "vault"
_CHECK_CONTENT: Final = b"apmatrix"
_KEY_SIZE: Final = 64
_COPROCESSORS: Final = (Mode.CCA, Mode.EP11)


@dataclass(frozen=True, slots=True)
class Secret:
    """What the user gave to open the keys: one of both, or nothing for the key file in the state directory."""

    passphrase: str | None = field(default=None, repr=False)
    key_file: Path | None = None

    @property
    def given(self) -> bool:
        """True if there is something of the user's own."""
        return self.passphrase is not None or self.key_file is not None


def open_vault(state: StateDirectory, file: MachineFile, secret: Secret) -> Vault | None:
    """The store of the machine's keys; None for a machine without coprocessors, which needs none.

    To be called by whoever holds the state directory. Everything that is there is opened once, so that a wrong secret
    is noticed before a card starts empty. ControlError with exit code 2 then, and nothing has changed.
    """
    if not any(adapter.type.mode in _COPROCESSORS for adapter in file.adapters):
        return None
    directory, own_file = state.path / "keys", state.path / "key"
    known = (directory / _CHECK).exists()
    if not secret.given:
        if known and not own_file.exists():
            raise ControlError(
                f"the keys of machine {state.path.name} are kept under a passphrase or a key file of your own: give "
                "it with --ask-passphrase or --key-file",
                code=2,
            )
        secret = Secret(key_file=own_file)
    try:
        if secret.key_file == own_file and not own_file.exists():
            replace_file(own_file, os.urandom(_KEY_SIZE))
        vault = Vault(directory, passphrase=secret.passphrase, key_file=secret.key_file)
        for path in directory.glob(".*"):
            path.unlink()  # what a kill left unfinished
        for path in directory.glob("[a-z]*"):
            vault.read(path.name)
        if not known:
            vault.write(_CHECK, _CHECK_CONTENT)
    except VaultError as error:
        raise ControlError(str(error), code=2) from error
    except OSError as error:
        raise ControlError(f"{directory}: the keys cannot be kept there: {error.strerror}", code=2) from error
    return vault


def forbid_core_dumps() -> None:
    """Let no crash write the memory of this process to a disk.

    The limit is one byte: Linux takes 0 for no limit where a program receives the dump, and 1 for no dump at all.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
