"""Debian packages, by default for s390x, fetched by apt without touching this machine's own apt configuration.

apt runs with a root directory of its own in the cache: one architecture, one suite, no installed packages. The
archive is the one that the machine's own apt uses. Package lists are renewed once a day; fetched packages are
reused, even without a network.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from apmatrix.faces.boot.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ARCHITECTURE = "s390x"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LISTS_AGE = 24 * 3600
"""Seconds after which package lists are renewed."""

UPDATE_TIMEOUT = 300.0
DOWNLOAD_TIMEOUT = 900.0
_REMEDY = ": set XDG_CACHE_HOME to a directory of yours, where packages are kept"
_KERNEL_PART = re.compile(r"\blinux-(?:image|binary|modules)-\d[^\s,(]*")


def cache_directory() -> Path:
    """Where packages are kept: ``apmatrix/boot`` in the user's cache directory; PackageError if there is none."""
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise PackageError(f"this user has no home directory{_REMEDY}") from error
    return Path(base) / "apmatrix" / "boot"


def _run(command: list[str], timeout: float, cwd: Path | None = None) -> str:
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
            " Ubuntu machine; elsewhere give --kernel FILE and --initrd FILE"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise PackageError(f"{command[0]} did not finish within {timeout:g} s: is the network up?") from error
    if done.returncode:
        words = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()[-1:]
        raise PackageError(f"{command[0]} failed: {' '.join(words) or f'exit code {done.returncode}'}")
    return done.stdout


class Repository:
    """Packages of one Debian suite; by default the one of this machine."""

    def __init__(self, suite: str | None = None, cache: Path | None = None, architecture: str = ARCHITECTURE) -> None:
        self._cache = cache or cache_directory()
        self._architecture = architecture
        self.uri, own = _own_archive()
        self.suite = suite or own
        if not re.fullmatch(r"[a-z][a-z0-9-]*", self.suite):
            raise PackageError(f"{self.suite!r} is not a Debian suite such as bookworm, trixie or sid")
        self._root = self._cache / (self.suite if architecture == ARCHITECTURE else f"{self.suite}-{architecture}")
        self._packages = self._cache / "packages"
        self._prepare()

    def kernel(self) -> list[Path]:
        """The packages that make the suite's newest kernel and its modules."""
        wanted: dict[str, None] = {}
        found = _KERNEL_PART.findall(self._depends("linux-image-s390x"))
        while found:
            name = found.pop()
            if name not in wanted:
                wanted[name] = None
                found += _KERNEL_PART.findall(self._depends(name))
        if not wanted:
            raise PackageError(f"Debian {self.suite} has no kernel package for {self._architecture}")
        return self.fetch(wanted)

    def fetch(self, names: Iterable[str]) -> list[Path]:
        """The files of packages, downloaded if missing; PackageError if one is not available."""
        shown = self._apt("apt-cache", "show", "--no-all-versions", *names)
        found = re.findall(
            r"^Package: (\S+)\n(?:.*\n)*?Version: (\S+)\n(?:.*\n)*?Architecture: (\S+)", shown, re.MULTILINE
        )
        versions = ((name, version.replace(":", "%3a"), machine) for name, version, machine in found)
        files = [self._packages / f"{name}_{version}_{machine}.deb" for name, version, machine in versions]
        if not all(file.exists() for file in files):
            with self._lock():
                self._apt("apt-get", "download", "-q", *names, timeout=DOWNLOAD_TIMEOUT)
        return files

    def tree(self, package: Path) -> Path:
        """The directory with a package's files, unpacked once."""
        return unpack(package, self._cache / "trees")

    # apt

    def _prepare(self) -> None:
        try:
            for directory in (self._root / "lists/partial", self._root / "empty", self._packages):
                directory.mkdir(parents=True, exist_ok=True)
            (self._root / "status").touch()
        except OSError as error:
            raise PackageError(f"{error.filename}: {error.strerror}{_REMEDY}") from error
        with self._lock():
            sources = self._root / "sources.list"
            # Rewritten only when it changes: another process's apt may be reading it.
            if not sources.exists() or sources.read_text() != self._source():
                sources.write_text(self._source())
            stamp = self._root / "updated"
            if stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_AGE:
                return
            try:
                self._apt("apt-get", "update", "-q", "--error-on=any", timeout=UPDATE_TIMEOUT)
                stamp.touch()
            except PackageError as error:
                if not any((self._root / "lists").glob("*_Packages*")):
                    raise PackageError(
                        f"Debian {self.suite} for {self._architecture} is not available: {str(error).rstrip('.')};"
                        " name a suite that the archive has, such as bookworm, trixie or sid, or give"
                        " --kernel FILE and --initrd FILE"
                    ) from error

    def _source(self) -> str:
        signed = f" signed-by={KEYRING}" if KEYRING.exists() else ""
        return f"deb [arch={self._architecture}{signed}] {self.uri} {self.suite} main\n"

    def _depends(self, package: str) -> str:
        shown = self._apt("apt-cache", "show", "--no-all-versions", package)
        return "\n".join(re.findall(r"^Depends: (.*)", shown, re.MULTILINE))

    def _apt(self, *command: str, timeout: float = 60.0) -> str:
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
        return _run([command[0], *settings, *command[1:]], timeout, self._packages)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One apt at a time in this cache."""
        with (self._cache / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _own_archive() -> tuple[str, str]:
    """URI and codename of the Debian archive that this machine's apt uses."""
    shown = _run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages"], 60.0
    )
    for line in shown.splitlines():
        uri, _, rest = line.partition(" ")
        codename, _, component = rest.partition(" ")
        if component == "main" and urlparse(uri).path.rstrip("/").endswith("/debian") and "-" not in codename:
            return uri, codename
    raise PackageError(
        "apt on this machine knows no Debian archive (or was never updated): run apt-get update, or give"
        " --kernel FILE and --initrd FILE"
    )


def unpack(package: Path, trees: Path) -> Path:
    """Unpack a package below ``trees``, once; PackageError if it is not a package."""
    tree = trees / package.stem
    if not tree.exists():
        trees.mkdir(parents=True, exist_ok=True)
        partial = trees / f".{package.stem}.{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            _run(["dpkg-deb", "-x", str(package), str(partial)], 300.0)
            partial.rename(tree)
        except OSError as error:
            if not tree.exists():
                raise PackageError(f"{package} cannot be unpacked: {error.strerror}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return tree
