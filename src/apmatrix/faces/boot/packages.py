"""Debian packages, by default for s390x, from the first place that has them.

An archive may lack what its index names, for a while or for good. So a package that a suite cannot deliver is asked
for again with new package lists, then in the suite's security, updates and backports pockets, and packages that go
together may come from another suite.
"""

from __future__ import annotations

import os
import re
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from apmatrix.faces.boot.apt import NO_DIRECTORY, Archives, Pocket, run
from apmatrix.faces.boot.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ARCHITECTURE = "s390x"
OTHER_SUITES = ("trixie", "sid")
"""Suites that are tried after the one of this machine."""

_Found = TypeVar("_Found")
_KERNEL_PACKAGE = "linux-image-s390x"
_KERNEL_PART = re.compile(r"\blinux-(?:image|binary|modules)-\d[^\s,(]*")


def cache_directory() -> Path:
    """Where packages are kept: ``apmatrix/boot`` in the user's cache directory; PackageError if there is none."""
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise PackageError(f"this user has no home directory{NO_DIRECTORY}") from error
    return Path(base) / "apmatrix" / "boot"


def _ignore(_: str) -> None:
    pass


class Repository:
    """Packages of Debian suites: of the first suite that can deliver what is asked for.

    Without a suite: of this machine's suite, and then of ``OTHER_SUITES``. ``progress`` is told why another one is
    tried.
    """

    def __init__(
        self,
        *suites: str,
        cache: Path | None = None,
        architecture: str = ARCHITECTURE,
        progress: Callable[[str], None] = _ignore,
    ) -> None:
        self._cache = cache or cache_directory()
        self._architecture = architecture
        self._progress = progress
        self._archives = Archives.of_this_machine()
        self.suites = tuple(dict.fromkeys(suites or (self._archives.codename, *OTHER_SUITES)))
        for suite in self.suites:
            if not re.fullmatch(r"[a-z][a-z0-9-]*", suite):
                raise PackageError(f"{suite!r} is not a Debian suite such as bookworm, trixie or sid")

    def kernel(self) -> list[Path]:
        """The packages that make a suite's newest kernel and its modules; PackageError if none is available."""
        return self._first(lambda pockets: first_pocket(pockets, _kernel_of))

    def fetch(self, names: Iterable[str]) -> list[Path]:
        """The files of packages of one suite, downloaded if missing; PackageError if one is not available."""
        wanted = tuple(names)
        return self._first(lambda pockets: _fetch_from(pockets, wanted))

    def tree(self, package: Path) -> Path:
        """The directory with a package's files, unpacked once."""
        return unpack(package, self._cache / "trees")

    def _pockets(self, suite: str) -> list[Pocket]:
        suffix = "" if self._architecture == ARCHITECTURE else f"-{self._architecture}"
        return [
            Pocket(uri, name, self._architecture, self._cache / f"{name}{suffix}", self._cache)
            for uri, name in self._archives.pockets(suite)
        ]

    def _first(self, get: Callable[[list[Pocket]], list[Path]]) -> list[Path]:
        """What the first suite delivers; PackageError with each one's reason if none does."""
        reasons: list[str] = []
        for suite in self.suites:
            if reasons:
                self._progress(f"{reasons[-1]}: trying Debian {suite}")
            try:
                return get(self._pockets(suite))
            except PackageError as error:
                reasons.append(str(error).rstrip("."))
        untried = [suite for suite in (self._archives.codename, *OTHER_SUITES) if suite not in self.suites]
        remedy = f"name another suite (--kernel {' or '.join(untried)}), or " if untried else ""
        raise PackageError(f"{'; '.join(reasons)}: {remedy}give --kernel FILE and --initrd FILE")


def _fetch_from(pockets: list[Pocket], names: tuple[str, ...]) -> list[Path]:
    """All from the suite itself; each that it cannot deliver from the first pocket that can."""
    try:
        return pockets[0].fetch(names)
    except PackageError:
        return [first_pocket(pockets, partial(Pocket.fetch, names=(name,)))[0] for name in names]


def first_pocket(pockets: list[Pocket], get: Callable[[Pocket], _Found]) -> _Found:
    """What the first pocket of a suite delivers; PackageError with the suite's own reason if none does."""
    reasons: list[PackageError] = []
    for pocket in pockets:
        try:
            return get(pocket)
        except PackageError as error:
            reasons.append(error)
    raise reasons[0]


def _kernel_of(pocket: Pocket) -> list[Path]:
    wanted: dict[str, None] = {}
    found = _KERNEL_PART.findall(pocket.depends(_KERNEL_PACKAGE))
    while found:
        name = found.pop()
        if name not in wanted:
            wanted[name] = None
            found += _KERNEL_PART.findall(pocket.depends(name))
    if not wanted:
        raise PackageError(f"Debian {pocket.name} has no kernel package")
    return pocket.fetch(wanted)


def unpack(package: Path, trees: Path) -> Path:
    """Unpack a package below ``trees``, once; PackageError if it is not a package."""
    tree = trees / package.stem
    if not tree.exists():
        trees.mkdir(parents=True, exist_ok=True)
        unpacked = trees / f".{package.stem}.{os.getpid()}"
        shutil.rmtree(unpacked, ignore_errors=True)
        try:
            run(["dpkg-deb", "-x", str(package), str(unpacked)], 300.0)
            unpacked.rename(tree)
        except OSError as error:
            if not tree.exists():
                raise PackageError(f"{package} cannot be unpacked: {error.strerror}") from error
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
    return tree
