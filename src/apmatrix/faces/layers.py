"""Layers over the computer's own directories: what a command changes there goes with it, or to a machine's state."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from apmatrix.arch import ApmatrixError
from apmatrix.faces.libc import MountFlag, mount

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SYSTEM: Final = ("/usr", "/var")
"""Directories whose changes nobody wants to keep: daemons such as libvirtd write there, package managers too."""

_ETC: Final = "/etc"


class LayerError(ApmatrixError):
    """A directory cannot be covered."""


def cover_system(layers: Path, keep: Iterable[str], *, own_user: bool) -> None:
    """Cover /usr and /var; changes go to directories in ``layers``.

    The directories in ``keep`` stay the computer's, and so does what is mounted below. ``own_user`` is as below.
    """
    wanted = (*keep, *_mount_points())
    for top in SYSTEM:
        real = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _cover(top, layers / top[1:], own_user=own_user)
        except OSError as error:
            # In a place in a place, where layers cannot be stacked any higher, the outer one's stays.
            if error.errno != errno.EINVAL:
                raise
        else:
            for path in _outermost(path for path in wanted if path.startswith(f"{top}/")):
                _uncover(path, Path(f"/proc/self/fd/{real}", path.removeprefix(f"{top}/")))
        finally:
            os.close(real)


def cover_etc(layers: Path, *, own_user: bool) -> None:
    """Cover /etc (mdevctl.d, udev/rules.d …); changes go to ``layers``, which may be kept.

    ``own_user`` is true in a user namespace, where the computer's files are somebody else's. Raises LayerError.
    """
    if own_user and not (layers / "work").exists():
        _own_directories(_ETC, layers / "upper")
    try:
        _cover(_ETC, layers, own_user=own_user)
    except OSError as error:
        raise LayerError(
            f"/etc cannot be covered by an overlay ({error.strerror}): the kernel stacks two at most, of which a"
            " container may be one and an apmatrix run around this one another"
        ) from error


def _cover(target: str, layers: Path, *, own_user: bool) -> None:
    upper, work = layers / "upper", layers / "work"
    for directory in (upper, work):
        directory.mkdir(parents=True, exist_ok=True)
    # Where root is not the real one, the kernel's notes on removed directories must be a user's attributes.
    notes = ",userxattr" if own_user else ""
    mount("overlay", target, "overlay", options=f"lowerdir={target},upperdir={upper},workdir={work}{notes}")


def _uncover(path: str, real: Path) -> None:
    if real.is_dir():
        mount(str(real), path, flags=MountFlag.BIND | MountFlag.RECURSIVE)


def _own_directories(target: str, upper: Path) -> None:
    """Make a directory for each one of the target's: nothing could be made in those of somebody else."""
    for path, _, _ in os.walk(target):
        directory = upper / Path(path).relative_to(target)
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(stat.S_IMODE(Path(path).stat().st_mode))


def _mount_points() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        yield re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), line.split()[4])


def _outermost(paths: Iterable[str]) -> Iterator[str]:
    """The paths that are not below another one."""
    last = None
    for path in sorted(set(paths), key=lambda path: path.split("/")):
        if last is None or not path.startswith(f"{last}/"):
            last = path
            yield path
