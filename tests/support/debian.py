"""Source packages of Debian, from the first place that has them, as ``Repository`` fetches binary ones."""

import fcntl
from pathlib import Path

from apmatrix.faces.boot.apt import Archives, Pocket
from apmatrix.faces.boot.errors import PackageError
from apmatrix.faces.boot.packages import cache_directory, first_pocket

SUITES = ("trixie", "sid")
"""Debian 13, and what is tried when its archive does not have what its index names."""


def source(name: str, suites: tuple[str, ...] = SUITES) -> Path:
    """The unpacked source of a package, fetched once; PackageError if no suite has it."""
    cache = cache_directory() / "sources"
    directory = cache / name
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done := _unpacked(directory):
            return done
        reasons = []
        archives = Archives.of_this_machine()
        for suite in suites:
            pockets = [
                Pocket(uri, pocket, "s390x", cache / f"{pocket}-source", cache, "deb-src")
                for uri, pocket in archives.pockets(suite)
            ]
            try:
                first_pocket(pockets, lambda pocket: pocket.source(name, directory))
            except PackageError as error:
                reasons.append(str(error))
            else:
                (directory / "complete").touch()
                return _trees(directory)[0]
    raise PackageError("; ".join(reasons))


def _trees(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if path.is_dir()]


def _unpacked(directory: Path) -> Path | None:
    return _trees(directory)[0] if (directory / "complete").exists() else None
