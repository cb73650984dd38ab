"""Where a machine in the background keeps what must outlast it.

``NAME/control`` is its socket, ``NAME/lock`` is locked while it is running, ``NAME/log`` is its log,
``NAME/systems/SYSTEM/etc`` holds the changes that were made to /etc in its systems, ``NAME/systems/SYSTEM/lock`` is
their /run/lock while the machine is running, ``NAME/keys`` has its cards' keys.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from apmatrix.service.errors import ControlError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

STATE_VARIABLE: Final = "APMATRIX_STATE"
MACHINE_VARIABLE: Final = "APMATRIX_MACHINE"
SYSTEM_VARIABLE: Final = "APMATRIX_SYSTEM"
KEYS_LIST: Final = "vault"
"""The list of the keys; it also shows whether a secret is the right one."""

NEXT_KEYS: Final = "keys.next"
"""The keys under another secret, complete: a change that a kill interrupted and that only has to be finished."""
DEFAULT_KEY: Final = "key"
"""The key file that is made unless the user gives a secret."""

_LOCK: Final = "lock"
_LONGEST_NAME: Final = 255
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_ACCESS: Final = stat.S_IRWXG | stat.S_IRWXO
_MOMENT: Final = 0.001
_KEPT: Final = ("control", "key", "keys", "lock", "log", "systems")
"""What a machine keeps; a change of the secret adds names that begin with ``keys.``."""
_REMEDY: Final = f": set {STATE_VARIABLE} to a directory of yours, where machines are kept"


def sandbox_directory(machine: str) -> Path:
    """What a machine has in the /run of its sandboxes: its control socket, its device nodes, layers."""
    return Path("/run/apmatrix", machine)


def state_directory() -> Path:
    """The directory of all machines: ``$APMATRIX_STATE``, root's in /var/lib, others' below their home.

    ControlError for a user without a home, and for a relative ``$APMATRIX_STATE``: its machines could not be found
    from elsewhere. A relative ``$XDG_STATE_HOME`` is ignored, as the XDG specification demands.
    """
    if given := os.environ.get(STATE_VARIABLE):
        if not Path(given).is_absolute():
            raise ControlError(f"{STATE_VARIABLE} is {given}: give an absolute path", ExitCode.UNREADABLE)
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/apmatrix")
    home = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        return (home if home.is_absolute() else Path.home() / ".local/state") / "apmatrix"
    except RuntimeError as error:
        raise ControlError(f"this user has no home directory{_REMEDY}", ExitCode.UNREADABLE) from error


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """The state directory of one machine."""

    path: Path

    @classmethod
    def of(cls, machine: str) -> StateDirectory:
        """The directory for a machine of that name; it need not exist."""
        if machine in ("", ".", "..") or any(character in machine for character in "/\0"):
            sentence = f"{machine!r} cannot name a machine: it must be a valid directory name"
            raise ControlError(sentence, ExitCode.UNREADABLE)
        if len(os.fsencode(machine)) > _LONGEST_NAME:
            sentence = f"{machine[:40]}... cannot name a machine: a name has up to {_LONGEST_NAME} bytes"
            raise ControlError(sentence, ExitCode.UNREADABLE)
        return cls(state_directory() / machine)

    @property
    def socket(self) -> Path:
        """The control socket."""
        return self.path / "control"

    @property
    def log(self) -> Path:
        """What the background process prints."""
        return self.path / "log"

    def of_system(self, system: str) -> Path:
        """Where the commands on a system find what they share: changes to /etc, and /run/lock."""
        return self.path / "systems" / system.replace("/", "+")  # no name has a "+", and many have a "."

    def forget_locks(self, system: str | None = None) -> None:
        """Empty the /run/lock of a system, or of all: no process has a lock any more."""
        systems = [self.of_system(system)] if system else (self.path / "systems").glob("*")
        for directory in systems:
            with suppress(OSError):
                _remove_tree(directory / "lock")

    def exists(self) -> bool:
        """True if there is such a directory; ControlError if this user may not look."""
        try:
            return self.path.is_dir()
        except OSError as error:
            raise _unusable(error) from error

    def make(self) -> None:
        """Make the directory unless it exists; ControlError if this user cannot use or trust it."""
        base = self.path.parent
        try:
            _make_directories(base)
            if os.access(base, os.W_OK | os.X_OK):
                require_private(base)
            self.path.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unusable(error) from error
        self.check()
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            read_only = os.statvfs(self.path).f_flag & os.ST_RDONLY
            reason = "is on a read-only file system" if read_only else "cannot be written to"
            raise ControlError(f"{self.path} {reason}{_REMEDY}", ExitCode.UNREADABLE)

    def check(self) -> None:
        """ControlError unless this directory, the one above and what is in it are this user's, as for ssh's keys."""
        try:
            require_private(self.path.parent)
            require_private(self.path)
            for path in self.path.iterdir():
                with suppress(FileNotFoundError):  # a machine that runs makes and removes files
                    _require_trustworthy(path)
        except OSError as error:
            raise _unusable(error) from error

    @property
    def keys(self) -> Path:
        """Where the cards' master keys are, encrypted."""
        return self.path / "keys"

    def keeps_keys(self) -> bool:
        """True if it has keys, or may have: the secret that opens them has been chosen; ControlError as exists()."""
        try:
            return any((self.path / name / KEYS_LIST).exists() for name in (self.keys.name, NEXT_KEYS))
        except OSError as error:
            raise _unusable(error) from error

    def running(self) -> bool:
        """True if a machine of this name is running; ControlError if this user may not know.

        The look disturbs nobody: a machine that starts meanwhile takes its lock in the next moment.
        """
        try:
            lock = _open_file(self.path / _LOCK, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise _unusable(error) from error
        try:
            return not _take(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)

    def forget(self) -> None:
        """Remove the directory with all that is kept in it, the keys too.

        ControlError if there is none, if its machine is running, or if it has what no machine keeps.
        """
        if not self.exists():
            raise unknown_machine(self.path.name)
        self.check()
        strange = sorted(entry.name for entry in self.path.iterdir() if entry.name.partition(".")[0] not in _KEPT)
        if strange:
            sentence = f"{self.path} is not removed: {strange[0]} in it is not a machine's"
            raise ControlError(sentence, ExitCode.REFUSED)
        with self.locked():
            try:
                _remove_tree(self.path)
            except OSError as error:
                sentence = f"{self.path} cannot be removed completely: {error.filename}: {error.strerror}"
                raise ControlError(sentence) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for a running machine; ControlError if another process does, or it cannot be used."""
        self.make()
        try:
            lock = _open_file(self.path / _LOCK, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise _unusable(error) from error
        try:
            while not _take(lock, fcntl.LOCK_EX):
                if self.running():
                    raise already_running(self)
                time.sleep(_MOMENT)  # somebody was just looking
            # A predecessor that was killed left its socket, and locks of programs that are gone.
            self._remove_socket()
            self.forget_locks()
            yield
            self._remove_socket()
        finally:
            os.close(lock)

    def _remove_socket(self) -> None:
        try:
            self.socket.unlink(missing_ok=True)
        except OSError as error:
            raise _unusable(error) from error

    def open_log(self) -> int:
        """A descriptor that appends to the log; ControlError if it is not a file of this directory."""
        try:
            return _open_file(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        except OSError as error:
            raise _unusable(error) from error


def _open_file(path: Path, flags: int) -> int:
    """Open a file, without following a link or waiting for a pipe's other end; ControlError if it is not regular."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ControlError(f"{path} is not a regular file: remove it", ExitCode.UNREADABLE)
    return descriptor


def _take(lock: int, kind: int) -> bool:
    """Take a lock of an open file unless others prevent it."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_tree(directory: Path) -> None:
    """Remove a directory with all that is in it; OSError if that cannot be done.

    overlayfs leaves directories that even their owner may not enter, so they are opened first.
    """
    import shutil  # noqa: PLC0415 - slow to import, and few commands need it

    for path, names, _ in os.walk(directory):
        for below in (Path(path, name) for name in names):
            if not below.is_symlink() and not os.access(below, os.R_OK | os.W_OK | os.X_OK):
                below.chmod(stat.S_IRWXU)
    shutil.rmtree(directory)


def _make_directories(directory: Path) -> None:
    """Make a directory and those above it that are missing, for this user only whatever the umask."""
    for each in (*reversed(directory.parents), directory):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)


def require_private(directory: Path) -> None:
    """ControlError unless a directory is this user's, and nobody else can write to it or replace it.

    It must not be a symbolic link. Directories above it may be others', but only those with the sticky bit, such as
    /tmp, writable for everybody. OSError if it cannot be looked at.
    """
    _require_own(directory, found := directory.lstat())
    if found.st_mode & _OTHERS_WRITE:
        raise ControlError(f"others can write to {directory}: chmod go-w {directory}", ExitCode.UNREADABLE)
    for above in directory.parents:
        mode = above.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            sentence = f"everybody can replace {directory}, for they can write to {above}{_REMEDY}"
            raise ControlError(sentence, ExitCode.UNREADABLE)


def _require_trustworthy(path: Path) -> None:
    _require_own(path, found := path.lstat())
    if path.name == DEFAULT_KEY and found.st_mode & _OTHERS_ACCESS:
        sentence = f"{path} can be used by others: make new keys, or chmod 600 {path}"
        raise ControlError(sentence, ExitCode.UNREADABLE)


def _require_own(path: Path, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise ControlError(f"{path} is a symbolic link, which is not followed{_REMEDY}", ExitCode.UNREADABLE)
    if found.st_uid != os.geteuid():
        raise ControlError(f"{path} belongs to user {found.st_uid}, not to you{_REMEDY}", ExitCode.UNREADABLE)


def _unusable(error: OSError) -> ControlError:
    return ControlError(f"{error.filename}: {error.strerror}{_REMEDY}", ExitCode.UNREADABLE)


def machines() -> list[StateDirectory]:
    """Every machine that is running, or has left its state; ControlError if this user may not see them."""
    base = state_directory()
    try:
        return [StateDirectory(path) for path in sorted(base.iterdir()) if path.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unusable(error) from error


def unknown_machine(name: str) -> ControlError:
    """The refusal of a command about a machine that has no state."""
    return ControlError(f"there is no machine {name}: apmatrix status lists them", ExitCode.UNREADABLE)


def already_running(state: StateDirectory) -> ControlError:
    """The refusal of a command that needs the machine stopped."""
    name = state.path.name
    return ControlError(f"machine {name} is already running: apmatrix down {name}", ExitCode.UNREACHABLE)
