"""Where a machine in the background keeps what must outlast it.

``NAME/control`` is its socket, ``NAME/lock`` is locked while it is running, ``NAME/log`` is its log,
``NAME/systems/SYSTEM/etc`` holds the changes that were made to /etc in its systems, ``NAME/systems/SYSTEM/lock`` is
their /run/lock while the machine is running, ``NAME/keys`` has its cards' keys.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from apmatrix.service.errors import ControlError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

STATE_VARIABLE: Final = "APMATRIX_STATE"
MACHINE_VARIABLE: Final = "APMATRIX_MACHINE"
KEYS_CHECK: Final = "vault"
"""The file beside the keys that shows whether a secret is the right one."""

NEXT_KEYS: Final = "keys.next"
"""The keys under another secret, complete: a change that a kill interrupted and that only has to be finished."""
_KEPT: Final = ("control", "key", "keys", "lock", "log", "systems")
"""What a machine keeps; a change of the secret adds names that begin with ``keys.``."""

_REMEDY: Final = f": set {STATE_VARIABLE} to a directory of yours, where machines are kept"


def sandbox_directory(machine: str) -> Path:
    """What a machine has in the /run of its sandboxes: its control socket, its device nodes, layers."""
    return Path("/run/apmatrix", machine)


def state_directory() -> Path:
    """The directory of all machines: ``$APMATRIX_STATE``, root's in /var/lib, others' below their home.

    ControlError for a user without a home.
    """
    if given := os.environ.get(STATE_VARIABLE):
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/apmatrix")
    try:
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    except RuntimeError as error:
        raise ControlError(f"this user has no home directory{_REMEDY}", ExitCode.UNREADABLE) from error
    return Path(home, "apmatrix")


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """The state directory of one machine."""

    path: Path

    @classmethod
    def of(cls, machine: str) -> StateDirectory:
        """The directory for a machine of that name; it need not exist."""
        if "/" in machine or machine in ("", ".", ".."):
            raise ControlError(
                f"{machine!r} cannot name a machine: it must be a valid directory name", ExitCode.UNREADABLE
            )
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
        return self.path / "systems" / system.replace("/", ".")

    def forget_locks(self, system: str | None = None) -> None:
        """Empty the /run/lock of a system, or of all: no process has a lock any more."""
        import shutil  # noqa: PLC0415 - slow to import, and no command needs it

        systems = [self.of_system(system)] if system else (self.path / "systems").glob("*")
        for directory in systems:
            shutil.rmtree(directory / "lock", ignore_errors=True)

    def make(self) -> None:
        """Make the directory unless it exists; ControlError if this user cannot make or use it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ControlError(f"{error.filename}: {error.strerror}{_REMEDY}", ExitCode.UNREADABLE) from error
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise ControlError(f"{self.path} is not this user's{_REMEDY}", ExitCode.UNREADABLE)

    @property
    def keys(self) -> Path:
        """Where the cards' master keys are, encrypted."""
        return self.path / "keys"

    def keeps_keys(self) -> bool:
        """True if it has keys, or may have: the secret that opens them has been chosen."""
        return any((self.path / name / KEYS_CHECK).exists() for name in (self.keys.name, NEXT_KEYS))

    def running(self) -> bool:
        """True if a machine of this name is running."""
        try:
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def forget(self) -> None:
        """Remove the directory with all that is kept in it, the keys too.

        ControlError if there is none, if its machine is running, or if it has what no machine keeps.
        """
        import shutil  # noqa: PLC0415 - slow to import, and few commands need it

        if not self.path.is_dir():
            raise unknown_machine(self.path.name)
        strange = sorted(entry.name for entry in self.path.iterdir() if entry.name.partition(".")[0] not in _KEPT)
        if strange or self.path.is_symlink():
            what = f"{strange[0]} in it is" if strange else "it is a link and"
            raise ControlError(f"{self.path} is not removed: {what} not a machine's", ExitCode.REFUSED)
        with self.locked():
            try:
                shutil.rmtree(self.path)
            except OSError as error:
                raise ControlError(f"{error.filename} cannot be removed: {error.strerror}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for a running machine; ControlError if another process holds it."""
        self.make()
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise already_running(self) from None
        try:
            # A predecessor that was killed left its socket, and locks of programs that are gone.
            self.socket.unlink(missing_ok=True)
            self.forget_locks()
            yield
            self.socket.unlink(missing_ok=True)
        finally:
            os.close(lock)


def machines() -> list[StateDirectory]:
    """Every machine that is running, or has left its state; ControlError if this user may not see them."""
    base = state_directory()
    try:
        return [StateDirectory(path) for path in sorted(base.iterdir()) if path.is_dir()] if base.is_dir() else []
    except PermissionError as error:
        raise ControlError(f"{error.filename}: {error.strerror}{_REMEDY}", ExitCode.UNREADABLE) from error


def unknown_machine(name: str) -> ControlError:
    """The refusal of a command about a machine that has no state."""
    return ControlError(f"there is no machine {name}: apmatrix status lists them", ExitCode.UNREADABLE)


def already_running(state: StateDirectory) -> ControlError:
    """The refusal of a command that needs the machine stopped."""
    name = state.path.name
    return ControlError(f"machine {name} is already running: apmatrix down {name}", ExitCode.UNREACHABLE)
