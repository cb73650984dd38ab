"""Gives the cards of a new machine the master keys that its file asks for (docs/keys.md)."""

from __future__ import annotations

import secrets
import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from apmatrix.cards.masterkeys import MasterKey
from apmatrix.cards.vault import read_secret
from apmatrix.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apmatrix.arch import KeySet
    from apmatrix.cards import Adapter
    from apmatrix.config import Finding, MachineFile, MasterKeyFile

_LONGEST_PART: Final = 4096
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def give_master_keys(file: MachineFile, adapters: Mapping[int, Adapter]) -> None:
    """Make the file's keys the current ones where the registers are empty; others keep what they have.

    A part is read only where its key is needed. ConfigError, with nothing changed, for parts that cannot be used;
    VaultError if the keys cannot be stored.
    """
    findings: list[Finding] = []
    given: dict[int, dict[tuple[int, KeySet], MasterKey]] = {}
    for index, entry in enumerate(file.master_keys):
        empty = [
            (number, domain)
            for number in entry.adapters
            for domain in entry.domains
            if adapters[number].context.keyring.registers(domain, entry.key_set).empty
        ]
        if empty and (key := _key(file, index, entry, findings)):
            for number, domain in empty:
                given.setdefault(number, {})[domain, entry.key_set] = key
    if findings:
        raise ConfigError(findings)
    for number, keys in given.items():
        adapters[number].context.keyring.give(keys)


def _key(file: MachineFile, index: int, entry: MasterKeyFile, findings: list[Finding]) -> MasterKey | None:
    """The key of an entry; None, with findings, if one of its parts cannot be used."""
    if not entry.parts:
        return MasterKey.of(entry.key_set, secrets.token_bytes(entry.key_set.key_size))
    parts = []
    for position, name in enumerate(entry.parts):
        try:
            parts.append(_part(Path(name), entry.key_set))
        except ValueError as error:
            findings.append(file.error(("master_key", index, "parts", position), str(error)))
    return MasterKey.of_parts(entry.key_set, parts) if len(parts) == len(entry.parts) else None


def _part(path: Path, key_set: KeySet) -> bytes:
    """The key part in a file, which only its owner may use; ValueError, without the content, if it is not one."""
    try:
        content, mode = read_secret(path, _LONGEST_PART)
    except OSError as error:
        raise ValueError(f"{path}: the key part cannot be read: {error.strerror}") from None
    except ValueError:
        raise ValueError(f"{path}: a pipe cannot be a key part: store it in a file of its own") from None
    if mode & _OTHERS:
        raise ValueError(f"{path}: other users can read or write this key part: chmod 600 {shlex.quote(str(path))}")
    try:
        return key_set.read_part(content)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
