"""A list of the keys that a machine keeps, so that lost, old and foreign files are noticed.

The list is a content of the vault, encrypted and authenticated like the others. It has the machine's name, and for
each card's file a digest of what was written last. While one is being written the list allows what was there and what
is coming: a kill leaves either.
"""

from __future__ import annotations

import hashlib
import json
import threading
from typing import TYPE_CHECKING, Any, Final

from apmatrix.cards.vault import Store, VaultError
from apmatrix.service.state import KEYS_LIST

if TYPE_CHECKING:
    from pathlib import Path

    from apmatrix.cards.vault import Vault

_AWAY: Final = "put the right one back, or move the directory away to start with empty cards"


class KeptKeys(Store):
    """A machine's vault with its list. :meth:`check` is to be called before cards read from it."""

    def __init__(self, vault: Vault, directory: Path, machine: str) -> None:
        self._vault = vault
        self._directory = directory
        self._machine = machine
        self._allowed: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<KeptKeys of {self._machine}>"

    def names(self) -> list[str]:
        """The names of the contents, without the list."""
        return [name for name in self._vault.names() if name != KEYS_LIST]

    def read(self, name: str) -> bytes | None:
        """The content last written under ``name``, or None; VaultError as from the vault."""
        return self._vault.read(name)

    def write(self, name: str, content: bytes) -> None:
        """Keep ``content`` and its digest; VaultError if the directory cannot be written."""
        with self._lock:
            before, after = self._allowed.get(name), _digest(content)
            self._allow({**self._allowed, name: [*(before or ("",)), after]})
            self._vault.write(name, content)
            self._allow({**self._allowed, name: [after]})

    def start(self) -> None:
        """Begin an empty list."""
        self._allow({})

    def check(self) -> None:
        """Open every content; VaultError if the secret is wrong, or a file is lost, old, foreign or damaged."""
        listed = self._read_list()
        if listed["machine"] != self._machine:
            owner = listed["machine"]
            raise VaultError(f"{self._directory}: the keys of machine {owner}, not of {self._machine}: {_AWAY}")
        for name in sorted({*listed["files"], *self.names()}):
            content = self._vault.read(name)
            allowed = listed["files"].get(name, ())
            if content is None and "" not in allowed:
                raise VaultError(f"{self._directory / name}: is missing: {_AWAY}")
            if content is not None and _digest(content) not in allowed:
                raise VaultError(f"{self._directory / name}: is not what was written last: {_AWAY}")
        self._allowed = listed["files"]

    def _read_list(self) -> dict[str, Any]:
        path = self._directory / KEYS_LIST
        content = self._vault.read(KEYS_LIST)
        if content is None:
            raise VaultError(f"{path}: is missing: {_AWAY}")
        try:
            listed: dict[str, Any] = json.loads(content)
        except ValueError:
            raise VaultError(f"{path}: is not a list of keys: {_AWAY}") from None
        return listed

    def _allow(self, files: dict[str, list[str]]) -> None:
        """Write the list. An empty digest stands for a file that is not there yet."""
        self._vault.write(KEYS_LIST, json.dumps({"machine": self._machine, "files": files}).encode())
        self._allowed = files


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
