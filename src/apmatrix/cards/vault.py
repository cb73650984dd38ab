"""Where a card keeps its keys while the machine is off: encrypted files, each written as a whole or not at all.

A file is a header (magic, derivation, salt, nonce) and the content under AES-256-GCM; header and name are
authenticated, so that a file cannot replace another card's.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apmatrix.arch import Layout, constant, text
from apmatrix.cards.errors import CardError

if TYPE_CHECKING:
    from collections.abc import Callable

_SCRYPT: Final = {"n": 1 << 15, "r": 8, "p": 1, "maxmem": 1 << 26, "dklen": 32}
_SHORTEST_KEY_FILE: Final = 32
_LONGEST_KEY_FILE: Final = 1 << 20
_PREFIX_SIZE: Final = 200
_FILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]*")


class VaultError(CardError):
    """Keys cannot be read or stored; the text names the file and what to do."""


class Store(ABC):
    """A place where contents are kept by name."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """The content last written under ``name``, or None."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Keep ``content``; when this returns, it survives a kill."""


class MemoryStore(Store):
    """Keeps contents until the process ends: the default without a state directory."""

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._contents)}>"

    def read(self, name: str) -> bytes | None:
        """The content, or None."""
        return self._contents.get(name)

    def write(self, name: str, content: bytes) -> None:
        """Keep ``content`` until the process ends."""
        self._contents[name] = content


class _VaultHeader(Layout, size=48):
    magic = constant(text(0, 16), b"apmatrix-keys\x01")
    salt = text(16, 16)
    nonce = text(32, 16)


_NONCE_SIZE: Final = 12


class Vault(Store):
    """A directory of encrypted files, opened with a passphrase or a key file (exactly one of them).

    A missing directory is created for its owner only. VaultError if the key file cannot be read or has less than
    32 bytes or more than 1 MiB, or for an empty passphrase.
    """

    def __init__(self, directory: Path, *, passphrase: str | None = None, key_file: Path | None = None) -> None:
        if (passphrase is None) == (key_file is None):
            raise VaultError("a vault is opened with either a passphrase or a key file")
        self._directory = directory
        self._derive = _from_key_file(key_file) if key_file else _from_passphrase(passphrase or "")
        self._ciphers: dict[bytes, AESGCM] = {}  # by salt, as a derivation takes time on purpose
        self._salt = os.urandom(16)
        self._lock = threading.Lock()  # one writer at a time
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def __repr__(self) -> str:
        return f"<Vault {self._directory}>"

    def names(self) -> list[str]:
        """The names of the contents, sorted."""
        return sorted(path.name for path in self._directory.iterdir() if _FILE_NAME.fullmatch(path.name))

    def read(self, name: str) -> bytes | None:
        """The content, or None; VaultError if the secret is wrong or the file is damaged."""
        path = self._path(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            fields = _VaultHeader.parse(data)
        except ValueError:
            raise VaultError(f"{path}: this is not a file of keys; move it away to start with empty cards") from None
        header, sealed = data[: _VaultHeader.SIZE], data[_VaultHeader.SIZE :]
        with self._lock:
            self._salt = fields.salt
            cipher = self._cipher(fields.salt)
        try:
            return cipher.decrypt(fields.nonce[:_NONCE_SIZE], sealed, header + name.encode())
        except InvalidTag:
            raise VaultError(
                f"{path}: cannot be opened: the passphrase or key file is wrong, or the file is damaged"
            ) from None

    def write(self, name: str, content: bytes) -> None:
        """Keep ``content``; VaultError if the directory cannot be written."""
        path = self._path(name)
        with self._lock:
            nonce = os.urandom(_NONCE_SIZE)
            header = bytes(_VaultHeader(salt=self._salt, nonce=nonce))
            sealed = self._cipher(self._salt).encrypt(nonce, content, header + name.encode())
            try:
                replace_file(path, header + sealed)
            except OSError as error:
                raise VaultError(f"{path}: the card's keys cannot be kept: {error.strerror}") from error

    def _path(self, name: str) -> Path:
        if not _FILE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a file of keys")
        return self._directory / name

    def _cipher(self, salt: bytes) -> AESGCM:
        if salt not in self._ciphers:
            self._ciphers[salt] = AESGCM(self._derive(salt))
        return self._ciphers[salt]


def _from_passphrase(passphrase: str) -> Callable[[bytes], bytes]:
    if not passphrase:
        raise VaultError("the passphrase of the keys is empty")
    return lambda salt: hashlib.scrypt(passphrase.encode("utf-8", "surrogateescape"), salt=salt, **_SCRYPT)


def _from_key_file(path: Path) -> Callable[[bytes], bytes]:
    try:
        secret = read_secret(path, _LONGEST_KEY_FILE + 1)[0]
    except OSError as error:
        raise VaultError(f"{path}: the key file cannot be read: {error.strerror}") from error
    except ValueError:
        raise VaultError(f"{path}: a pipe cannot be a key file: store the secret in a file of its own") from None
    if len(secret) > _LONGEST_KEY_FILE:
        raise VaultError(f"{path}: a key file has at most {_LONGEST_KEY_FILE} bytes")
    if len(secret) < _SHORTEST_KEY_FILE:
        raise VaultError(f"{path}: a key file has at least {_SHORTEST_KEY_FILE} bytes, preferably from /dev/urandom")
    return lambda salt: hashlib.blake2b(secret, digest_size=32, salt=salt, person=b"apmatrix-keys").digest()


def read_secret(path: Path, most: int) -> tuple[bytes, int]:
    """The first ``most`` bytes of a file, and its mode; ValueError for a pipe, which may never end, else OSError."""
    # A pipe that no program writes to, and a terminal, would be waited for without an end.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISFIFO(mode):
            raise ValueError("a pipe")
        return file.read(most) or b"", mode


def replace_file(path: Path, data: bytes) -> None:
    """Make ``data`` the content of ``path``: a reader, even after a crash, finds the old or the new content."""
    _put(path, data, os.replace)


def create_file(path: Path, data: bytes) -> None:
    """Create a file for its owner, whole or not at all; FileExistsError if it already exists."""
    _put(path, data, os.link)


def _put(path: Path, data: bytes, place: Callable[[str, Path], None]) -> None:
    name = os.fsdecode(os.fsencode(path.name)[:_PREFIX_SIZE])  # a name has up to 255 bytes, with all that is added
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        place(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a crash."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
