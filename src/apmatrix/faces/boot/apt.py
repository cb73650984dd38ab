"""One suite of a Debian archive, read by apt without touching this machine's own apt configuration.

apt runs with a root directory of its own in the cache: one architecture, one suite, no installed packages. Where the
archives are comes from this machine's own sources.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from apmatrix.faces.boot.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LISTS_AGE = 24 * 3600
"""Seconds after which package lists are renewed."""

RENEWAL_AGE = 600
"""Seconds after which package lists are renewed because a package that they name cannot be fetched."""

UPDATE_TIMEOUT = 300.0
DOWNLOAD_TIMEOUT = 900.0
NO_DIRECTORY = ": set XDG_CACHE_HOME to a directory of yours, where packages are kept"
_FILES = "give --kernel FILE and --initrd FILE"
_POCKETS = ("updates", "backports")
_HTTP_ERROR = re.compile(r"\s([45]\d\d)\s+([A-Z][A-Za-z]+(?: [A-Z][A-Za-z]+)*)")
_VERSION = re.compile(r"^Package: (\S+)\n(?:.+\n)*?Version: (\S+)\n(?:.+\n)*?Architecture: (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Archives:
    """Where this machine's apt gets Debian from: the codename of its suite, the archive, and the security archive."""

    codename: str
    main: str
    security: str = ""

    @classmethod
    def of_this_machine(cls) -> Archives:
        """What the machine's own sources name; PackageError if they name no Debian archive."""
        form = "$(REPO_URI) $(CODENAME) $(COMPONENT)"
        shown = run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"], 60.0)
        main, security = "", ""
        for uri, codename, component in (line.split(" ", 2) for line in shown.splitlines() if line.count(" ") > 1):
            if component != "main":
                continue
            path = urlparse(uri).path.rstrip("/")
            if path.endswith("/debian-security"):
                security = security or uri
            elif path.endswith("/debian") and "-" not in codename and not main:
                main, own = uri, codename
        if not main:
            raise PackageError(
                f"apt on this machine knows no Debian archive (or was never updated): run apt-get update, or {_FILES}"
            )
        return cls(own, main, security)

    def pockets(self, suite: str) -> list[tuple[str, str]]:
        """Archive and name of what a suite consists of: itself, security, updates, backports; some may not exist."""
        security = [(self.security, f"{suite}-security")] if self.security else []
        return [(self.main, suite), *security, *((self.main, f"{suite}-{pocket}") for pocket in _POCKETS)]


class Pocket:
    """A suite of an archive, or a pocket of one such as ``trixie-security``, for one architecture.

    ``kind`` is ``deb``, or ``deb-src`` for source packages. Package lists are renewed once a day; fetched packages
    are reused, even without a network.
    """

    def __init__(self, uri: str, name: str, architecture: str, root: Path, cache: Path, kind: str = "deb") -> None:
        self.name = name
        self._uri = uri
        self._architecture = architecture
        self._root = root
        self._cache = cache
        self._kind = kind
        self._packages = cache / "packages"
        self._prepared = False

    def depends(self, package: str) -> str:
        """What a package depends on."""
        self._prepare()
        shown = self._apt("apt-cache", "show", "--no-all-versions", package)
        return "\n".join(re.findall(r"^Depends: (.*)", shown, re.MULTILINE))

    def fetch(self, names: Iterable[str]) -> list[Path]:
        """The files of packages, downloaded if missing; PackageError if one is not available.

        If the archive does not have what its index names, it is asked again with new package lists.
        """
        self._prepare()
        wanted = tuple(names)
        files = self._files(wanted)
        try:
            self._download(files)
        except PackageError:
            if not self._renew():
                raise
            files = self._files(wanted)
            self._download(files)
        return list(files.values())

    def source(self, name: str, directory: Path) -> None:
        """Unpack a source package below ``directory``; PackageError if it is not available."""
        self._prepare()
        try:
            self._apt("apt-get", "source", "-q", name, timeout=DOWNLOAD_TIMEOUT, cwd=directory)
        except PackageError as error:
            raise self._lost([f"the source of {name}"], error) from error

    def _files(self, names: tuple[str, ...]) -> dict[str, Path]:
        """Where each package is once it is downloaded; PackageError if the suite does not have one of them."""
        try:
            shown = _VERSION.findall(self._apt("apt-cache", "show", "--no-all-versions", *names))
        except PackageError as error:
            if "No packages found" not in str(error):
                raise
            shown = []
        versions = {name: f"{version.replace(':', '%3a')}_{machine}" for name, version, machine in shown}
        if unknown := [name for name in names if name not in versions]:
            raise PackageError(f"Debian {self.name} for {self._architecture} has no package {', '.join(unknown)}")
        return {name: self._packages / f"{name}_{versions[name]}.deb" for name in names}

    def _download(self, files: dict[str, Path]) -> None:
        missing = [name for name, file in files.items() if not file.exists()]
        if not missing:
            return
        try:
            with self._lock():
                self._apt("apt-get", "download", "-q", *missing, timeout=DOWNLOAD_TIMEOUT)
        except PackageError as error:
            raise self._lost([name for name in missing if not files[name].exists()], error) from error

    def _lost(self, names: list[str], error: PackageError) -> PackageError:
        """What to say if packages of the index could not be fetched; apt's own words unless an archive answered."""
        if not (answer := _HTTP_ERROR.search(str(error))):
            return error
        return PackageError(
            f"the archive of Debian {self.name} for {self._architecture} does not have what its index names:"
            f" {', '.join(names)} ({answer[1]} {answer[2]})"
        )

    def _renew(self) -> bool:
        """Renew the package lists unless they are new; whether that could be done."""
        stamp = self._root / "updated"
        with self._lock():
            if stamp.exists() and time.time() - stamp.stat().st_mtime < RENEWAL_AGE:
                return False
            try:
                self._update()
            except PackageError:
                return False
            return True

    def _prepare(self) -> None:
        if self._prepared:
            return
        try:
            for directory in (self._root / "lists/partial", self._root / "empty", self._packages):
                directory.mkdir(parents=True, exist_ok=True)
            (self._root / "status").touch()
        except OSError as error:
            raise PackageError(f"{error.filename}: {error.strerror}{NO_DIRECTORY}") from error
        self._prepared = True
        with self._lock():
            sources = self._root / "sources.list"
            signed = f" signed-by={KEYRING}" if KEYRING.exists() else ""
            wanted = f"{self._kind} [arch={self._architecture}{signed}] {self._uri} {self.name} main\n"
            # Rewritten only when it changes: another process's apt may be reading it.
            if not sources.exists() or sources.read_text() != wanted:
                sources.write_text(wanted)
            stamp = self._root / "updated"
            if stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_AGE:
                return
            try:
                self._update()
            except PackageError as error:
                if not any((self._root / "lists").glob("*_[PS]*")):
                    self._prepared = False
                    reason = str(error).rstrip(".")
                    raise PackageError(
                        f"Debian {self.name} for {self._architecture} is not available: {reason}"
                    ) from error

    def _update(self) -> None:
        self._apt("apt-get", "update", "-q", "--error-on=any", timeout=UPDATE_TIMEOUT)
        (self._root / "updated").touch()

    def _apt(self, *command: str, timeout: float = 60.0, cwd: Path | None = None) -> str:
        root = self._root
        options = {
            "APT::Architecture": self._architecture,
            "APT::Architectures": self._architecture,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Dir::Etc::SourceList": root / "sources.list",
            "Dir::Etc::SourceParts": root / "empty",
            "Dir::Etc::Parts": root / "empty",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": root / "empty",
            "Dir::State::Lists": root / "lists",
            "Dir::State::Status": root / "status",
            "Dir::Cache::pkgcache": root / "pkgcache.bin",
            "Dir::Cache::srcpkgcache": root / "srcpkgcache.bin",
        }
        settings = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return run([command[0], *settings, *command[1:]], timeout, cwd or self._packages)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One apt at a time in this cache."""
        with (self._cache / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def run(command: list[str], timeout: float, cwd: Path | None = None) -> str:
    """The output of a command; PackageError with its error messages if it fails."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise PackageError(
            f"{command[0]} is not installed: kernels and tools for s390x come as Debian packages, on a Debian or"
            f" Ubuntu machine; elsewhere {_FILES}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise PackageError(f"{command[0]} did not finish within {timeout:g} s: is the network up?") from error
    if done.returncode:
        words = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()[-1:]
        raise PackageError(f"{command[0]} failed: {' '.join(words) or f'exit code {done.returncode}'}")
    return done.stdout
